output "cluster_name" {
  description = "For aws eks update-kubeconfig."
  value       = aws_eks_cluster.this.name
}

output "region" {
  description = "Where it is."
  value       = var.region
}

output "bucket_prefix" {
  description = "Buckets are this, a hyphen, and features, models or artifacts."
  value       = trimsuffix(aws_s3_bucket.this["models"].id, "-models")
}

output "registry" {
  description = "Where the images go: this, a slash, and serving, spark or training."
  value       = trimsuffix(aws_ecr_repository.this["serving"].repository_url, "/serving")
}

output "redis_endpoint" {
  description = "Host of the online store's cluster, port 6379, TLS; null without one."
  value       = one(values(aws_elasticache_replication_group.this)[*].configuration_endpoint_address)
}

output "redis_user" {
  description = "Name of the user that Winnow connects as."
  value       = one(values(aws_elasticache_user.winnow)[*].user_name)
}

output "redis_secret" {
  description = "Secret that holds REDIS_URL once make redis-password has run."
  value       = one(values(aws_secretsmanager_secret.redis)[*].name)
}

output "karpenter" {
  description = "What Karpenter's values and EC2NodeClass name; null with the Cluster Autoscaler."
  value = var.node_autoscaler == "karpenter" ? {
    queue            = aws_sqs_queue.interruption["karpenter"].name
    instance_profile = aws_iam_instance_profile.karpenter["karpenter"].name
    discovery        = var.name
  } : null
}
