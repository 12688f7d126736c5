# The feature job on AWS Glue instead of the cluster's Spark: the same entry point, winnow/features/spark/__main__.py.
# `make glue-features` uploads the script and Winnow's wheel, and starts a run (README.md).
locals {
  glue_jobs = toset(var.glue_features ? ["features"] : [])
  glue_code = "s3://${aws_s3_bucket.this["features"].id}/glue"

  # Installed without dependencies, so that NumPy, pandas, PyArrow and PySpark are Glue's own. The versions are those of
  # constraints.txt.
  glue_modules = [
    "annotated-doc==0.0.7",
    "annotated-types==0.8.0",
    "atpublic==9.0.0",
    "ibis-framework==12.0.0",
    "markdown-it-py==4.3.0",
    "mdurl==0.1.2",
    "packaging==26.3",
    "parsy==2.2",
    "pyarrow-hotfix==0.7",
    "pydantic==2.14.3",
    "pydantic-core==2.50.4",
    "pygments==2.21.0",
    "pyyaml==6.0.3",
    "rich==15.0.0",
    "shellingham==1.5.4",
    "sqlglot==28.10.1",
    "toolz==1.2.0",
    "typer==0.29.2",
    "typing-extensions==4.16.0",
    "typing-inspection==0.4.5",
    "tzdata==2026.6",
  ]
}

resource "aws_glue_job" "this" {
  for_each = local.glue_jobs

  name              = "${var.name}-${each.key}"
  role_arn          = aws_iam_role.glue[each.key].arn
  glue_version      = "5.0"
  worker_type       = "G.1X"
  number_of_workers = 10
  timeout           = 480
  # Spark retries lost tasks itself. A second run would refuse the partial output of the first.
  max_retries = 0

  command {
    name            = "glueetl"
    python_version  = "3"
    script_location = "${local.glue_code}/features.py"
  }

  execution_property {
    max_concurrent_runs = 1
  }

  # A run adds --output.
  default_arguments = {
    "--data"                            = "s3://${aws_s3_bucket.this["features"].id}/data"
    "--additional-python-modules"       = join(",", concat(["${local.glue_code}/winnow-0.2.0-py3-none-any.whl"], local.glue_modules))
    "--python-modules-installer-option" = "--no-deps"
    "--enable-auto-scaling"             = "true"
    "--job-bookmark-option"             = "job-bookmark-disable"
  }
}

resource "aws_iam_role" "glue" {
  for_each = local.glue_jobs

  name               = "${var.name}-glue"
  assume_role_policy = data.aws_iam_policy_document.trusted_glue.json
}

resource "aws_iam_role_policy" "glue" {
  for_each = local.glue_jobs

  name   = "glue"
  role   = aws_iam_role.glue[each.key].id
  policy = data.aws_iam_policy_document.glue_job.json
}

data "aws_iam_policy_document" "glue_job" {
  source_policy_documents = [data.aws_iam_policy_document.buckets["glue"].json]

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${local.partition}:logs:${var.region}:${local.account}:log-group:/aws-glue/*"]
  }
}

data "aws_iam_policy_document" "trusted_glue" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["glue.amazonaws.com"]
    }

    # Glue acts for jobs of this account only.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}
