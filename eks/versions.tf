terraform {
  # 1.11 brought S3 state locking without DynamoDB.
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The version that the tests plan, apply and destroy with: another one is tested before it is written here.
      version = "5.100.0"
    }
  }

  # The bucket is named at init: terraform init -backend-config=bucket=NAME (see README.md).
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
  # Written out rather than read from the cluster, so that roles can name it before it exists.
  cluster_arn = "arn:${local.partition}:eks:${var.region}:${local.account}:cluster/${var.name}"
}
