output "cluster_name" {
  description = "Name of the cluster, for aws eks update-kubeconfig."
  value       = aws_eks_cluster.this.name
}

output "region" {
  description = "AWS region of the cluster."
  value       = var.region
}

output "bucket_prefix" {
  description = "Prefix of the buckets: PREFIX-features, PREFIX-models and PREFIX-artifacts."
  value       = trimsuffix(aws_s3_bucket.this["models"].id, "-models")
}

output "registry" {
  description = "Registry of the images: REGISTRY/serving, REGISTRY/spark and REGISTRY/training."
  value       = trimsuffix(aws_ecr_repository.this["serving"].repository_url, "/serving")
}

output "redis_endpoint" {
  description = "Host of the online store's cluster (port 6379, TLS); null without an online store."
  value       = one(values(aws_elasticache_replication_group.this)[*].configuration_endpoint_address)
}

output "redis_user" {
  description = "Redis user as which Winnow connects."
  value       = one(values(aws_elasticache_user.winnow)[*].user_name)
}

output "redis_secret" {
  description = "Name of the secret to which make redis-password writes REDIS_URL."
  value       = one(values(aws_secretsmanager_secret.redis)[*].name)
}

output "karpenter" {
  description = "Names that Karpenter's values and EC2NodeClass refer to; null without Karpenter."
  value = var.node_autoscaler == "karpenter" ? {
    queue            = aws_sqs_queue.interruption["karpenter"].name
    instance_profile = aws_iam_instance_profile.karpenter["karpenter"].name
    discovery        = var.name
  } : null
}

output "glue_job" {
  description = "Name of the feature job on Glue; null without glue_features."
  value       = one(values(aws_glue_job.this)[*].name)
}
