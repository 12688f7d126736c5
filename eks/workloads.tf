# The workloads' permissions on buckets and the Glue catalog.
locals {
  # By workload and bucket: prefixes with read access, and prefixes with write access, which includes reading and deleting.
  bucket_access = {
    predictor = { models = { read = ["model_repository/"], write = [] } }
    # The sidecar shares the transformer's pod, and so its account and role. Without Triton (kserve_manifests/embedded) the
    # transformer reads the models as well.
    transformer = { models = { read = ["model_repository/", "releases/"], write = [] } }
    # The export of events, and the jobs that read releases and exports to rebuild or check the online store.
    feedback = {
      features = { read = ["data/"], write = ["data/events/", "data/impressions/"] }
      models   = { read = ["releases/"], write = [] }
    }
    pipelines = {
      features  = { read = ["data/"], write = ["embeddings/", "features/"] }
      models    = { read = [], write = ["claims/", "evaluations/", "live.json", "model_repository/", "releases/"] }
      artifacts = { read = [], write = [""] }
    }
    # Kubeflow Pipelines' servers store pipeline definitions and show artifacts.
    kubeflow = { artifacts = { read = [], write = [""] } }
    # TrainJobs read and write the artifacts of the pipeline step that launches them, checkpoints included.
    training = {
      features  = { read = ["features/"], write = [] }
      artifacts = { read = [], write = [""] }
    }
    spark = { features = { read = ["data/", "embeddings/"], write = ["features/"] } }
    # Segments, indexes and log of Milvus, where it is installed.
    milvus = { features = { read = [], write = ["milvus/"] } }
    # The same job on Glue, whose code is in glue/ (glue.tf).
    glue = { features = { read = ["data/", "glue/"], write = ["features/"] } }
  }

  # Workloads that may list a whole bucket. Milvus and KServe's download call HeadBucket first, Hadoop and the pipelines'
  # look for the live release expect 404, not 403, for missing objects: S3 grants both only with permission to list without a prefix. It reveals names; reading objects
  # stays limited to the prefixes.
  lists_all = ["predictor", "transformer", "feedback", "pipelines", "spark", "glue", "milvus"]

  # Workloads that read catalogs as glue://DATABASE (winnow.datasets.readers.cloud): tables and partitions, not Athena.
  glue_readers = { pipelines = "${var.name}*", spark = "${var.name}*" }
}

data "aws_iam_policy_document" "buckets" {
  for_each = local.bucket_access

  dynamic "statement" {
    for_each = each.value

    content {
      sid       = "List${title(statement.key)}"
      actions   = ["s3:ListBucket"]
      resources = [aws_s3_bucket.this[statement.key].arn]

      # A condition on the prefix also refuses requests without one, such as HeadBucket.
      dynamic "condition" {
        for_each = (
          contains(local.lists_all, each.key) || contains(concat(statement.value.read, statement.value.write), "")
          ? [] : [concat(statement.value.read, statement.value.write)]
        )

        content {
          test     = "StringLike"
          variable = "s3:prefix"
          values   = [for prefix in condition.value : "${prefix}*"]
        }
      }
    }
  }

  dynamic "statement" {
    for_each = each.value

    content {
      sid       = "Read${title(statement.key)}"
      actions   = ["s3:GetObject"]
      resources = [for prefix in concat(statement.value.read, statement.value.write) : "${aws_s3_bucket.this[statement.key].arn}/${prefix}*"]
    }
  }

  dynamic "statement" {
    for_each = { for bucket, prefixes in each.value : bucket => prefixes if length(prefixes.write) > 0 }

    content {
      sid       = "Write${title(statement.key)}"
      actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"]
      resources = [for prefix in statement.value.write : "${aws_s3_bucket.this[statement.key].arn}/${prefix}*"]
    }
  }

  statement {
    sid = "KeyOfTheBuckets"
    # A multipart upload decrypts its own parts, so writers need both.
    actions   = anytrue([for prefixes in values(each.value) : length(prefixes.write) > 0]) ? ["kms:Decrypt", "kms:GenerateDataKey"] : ["kms:Decrypt"]
    resources = [aws_kms_key.this["data"].arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "glue" {
  for_each = local.glue_readers

  source_policy_documents = [data.aws_iam_policy_document.buckets[each.key].json]

  statement {
    sid     = "ReadGlueTables"
    actions = ["glue:GetPartitions", "glue:GetTable"]
    resources = [
      for resource in ["catalog", "database/${each.value}", "table/${each.value}/*"] :
      "arn:${local.partition}:glue:${var.region}:${local.account}:${resource}"
    ]
  }
}
