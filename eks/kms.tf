# One key per group of readers: access to the logs does not include access to the models.
locals {
  keys = {
    cluster = "Kubernetes secrets of the cluster ${var.name}"
    data    = "Buckets, images, the cache and its secret of ${var.name}"
    logs    = "Logs of ${var.name}"
  }
}

resource "aws_kms_key" "this" {
  for_each = local.keys

  description             = each.value
  enable_key_rotation     = true
  deletion_window_in_days = var.keep_data ? 30 : 7
  policy                  = data.aws_iam_policy_document.key[each.key].json
}

resource "aws_kms_alias" "this" {
  for_each = local.keys

  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].id
}

data "aws_iam_policy_document" "key" {
  for_each = local.keys

  # In a key's policy "*" is the key itself. Without this statement IAM policies cannot grant access to it.
  statement {
    sid       = "AccountPolicies"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" ? ["CloudWatchLogs"] : []

    content {
      sid       = statement.value
      actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
      resources = ["*"]

      principals {
        type        = "Service"
        identifiers = ["logs.${var.region}.amazonaws.com"]
      }

      condition {
        test     = "ArnLike"
        variable = "kms:EncryptionContext:aws:logs:arn"
        values   = ["arn:${local.partition}:logs:${var.region}:${local.account}:log-group:/aws/*/${var.name}/*"]
      }
    }
  }
}
