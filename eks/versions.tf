terraform {
  # From 1.11 on, Terraform locks a state in S3 without DynamoDB.
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The version that the tests use; test another one before changing it.
      version = "5.100.0"
    }
  }

  # The bucket is passed to init: terraform init -backend-config=bucket=NAME (see README.md).
  backend "s3" {
    key          = "winnow/eks.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = merge({ project = var.name, managed-by = "terraform" }, var.tags)
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  # Composed rather than read from the cluster, so that roles can refer to it before it exists.
  cluster_arn = "arn:${local.partition}:eks:${var.region}:${local.account}:cluster/${var.name}"
}
