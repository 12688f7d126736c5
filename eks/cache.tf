# The online store: Redis in cluster mode, with TLS and passwords only. redis = null creates none.
#
# The password never passes through Terraform, so it is in no plan and no state: this provider version has no write-only
# argument for it. The user is created with IAM authentication, which Winnow's clients do not use; `make redis-password`
# sets a random password and writes the URL that contains it to the secret.
locals {
  stores = var.redis == null ? {} : { online = var.redis }
}

resource "aws_elasticache_replication_group" "this" {
  for_each = local.stores

  replication_group_id = var.name
  description          = "Winnow's online store"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = each.value.node_type
  parameter_group_name = aws_elasticache_parameter_group.this[each.key].name
  port                 = 6379

  num_node_groups            = each.value.shards
  replicas_per_node_group    = each.value.replicas
  automatic_failover_enabled = true
  multi_az_enabled           = true

  subnet_group_name  = aws_elasticache_subnet_group.this[each.key].name
  security_group_ids = [aws_security_group.cache[each.key].id]

  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.this["data"].arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  user_group_ids             = [aws_elasticache_user_group.this[each.key].user_group_id]

  snapshot_retention_limit   = 7
  final_snapshot_identifier  = var.keep_data ? "${var.name}-final" : null
  auto_minor_version_upgrade = true
}

resource "aws_elasticache_parameter_group" "this" {
  for_each = local.stores

  name        = var.name
  family      = "redis7"
  description = "Winnow's online store"

  parameter {
    name  = "cluster-enabled"
    value = "yes"
  }

  # Full memory fails writes, which alerts report. Evicting a Bloom filter would recommend seen items again.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_subnet_group" "this" {
  for_each = local.stores

  name       = var.name
  subnet_ids = [for subnet in aws_subnet.cache : subnet.id]
}

resource "aws_elasticache_user_group" "this" {
  for_each = local.stores

  engine        = "redis"
  user_group_id = var.name
  user_ids      = [aws_elasticache_user.default[each.key].user_id, aws_elasticache_user.winnow[each.key].user_id]
}

# A user group must have a user named default, which connections without a user name use; it is disabled.
resource "aws_elasticache_user" "default" {
  for_each = local.stores

  user_id       = "${var.name}-default"
  user_name     = "default"
  access_string = "off ~* -@all"
  engine        = "redis"

  authentication_mode {
    type = "no-password-required"
  }
}

resource "aws_elasticache_user" "winnow" {
  for_each = local.stores

  # IAM authentication requires both names to be equal.
  user_id       = "${var.name}-online"
  user_name     = "${var.name}-online"
  access_string = "on ~* &* +@all -@admin -@dangerous"
  engine        = "redis"

  authentication_mode {
    type = "iam"
  }

  lifecycle {
    ignore_changes = [authentication_mode, passwords]
  }
}

resource "aws_secretsmanager_secret" "redis" {
  for_each = local.stores

  name                    = "${var.name}/redis"
  description             = "REDIS_URL of the online store, its password included"
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.keep_data ? 30 : 0
}

resource "aws_security_group" "cache" {
  for_each = local.stores

  name        = "${var.name}-cache"
  description = "Redis from the cluster's nodes and pods, nothing else, and no way out"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-cache" }
}

resource "aws_vpc_security_group_ingress_rule" "cache" {
  for_each = local.stores

  security_group_id            = aws_security_group.cache[each.key].id
  description                  = "Redis from nodes and pods"
  referenced_security_group_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}
