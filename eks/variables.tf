variable "name" {
  description = "Name of the cluster and prefix of all resources; the manifests in this folder use the name winnow as well."
  type        = string
  default     = "winnow"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name: 3 to 20 lower-case letters, digits and hyphens, starting with a letter (it is part of the names of buckets and caches)."
  }
}

variable "region" {
  description = "AWS region; it must have three availability zones and g5 or g6 instances."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: an AWS region such as eu-west-1."
  }
}

variable "administrators" {
  description = "ARNs of the IAM roles or users that administer the cluster; include the identity that runs Terraform, which the next steps need."
  type        = set(string)

  validation {
    condition     = length(var.administrators) > 0 && alltrue([for arn in var.administrators : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "administrators: at least one ARN of an IAM role or user; without one the cluster cannot be accessed."
  }
}

variable "api_access_cidrs" {
  description = "Networks that may reach the cluster's public endpoint; empty disables the public endpoint."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_access_cidrs : can(cidrhost(cidr, 0)) && tonumber(split("/", cidr)[1]) >= 16])
    error_message = "api_access_cidrs: CIDR blocks of at most a /16; the whole internet is refused."
  }
}

variable "vpc_cidr" {
  description = "Address range of the VPC: a /16, which is divided into subnets."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && endswith(var.vpc_cidr, "/16")
    error_message = "vpc_cidr: a /16 such as 10.0.0.0/16."
  }
}

variable "nat_per_zone" {
  description = "One NAT gateway per zone (a zone can fail alone) instead of one for all (a third of the price)."
  type        = bool
  default     = false
}

variable "interface_endpoints" {
  description = "AWS services with an interface endpoint in the VPC; each costs per zone and hour and saves NAT traffic, mainly of images."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "eks-auth", "secretsmanager", "sts"]
}

variable "kubernetes_version" {
  description = "Kubernetes minor version of the control plane; nodes follow it."
  type        = string
  default     = "1.35"

  validation {
    condition     = can(regex("^1\\.(3[2-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: 1.NN, from KServe's minimum 1.32 on."
  }
}

variable "addons" {
  description = "EKS add-ons and their versions (aws eks describe-addon-versions --kubernetes-version ... lists them)."
  type        = map(string)
  default = {
    "aws-ebs-csi-driver"     = "v1.56.0-eksbuild.1"
    "coredns"                = "v1.13.2-eksbuild.1"
    "eks-pod-identity-agent" = "v1.3.10-eksbuild.1"
    "kube-proxy"             = "v1.35.0-eksbuild.2"
    "vpc-cni"                = "v1.21.1-eksbuild.1"
  }

  validation {
    condition     = length(setsubtract(["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "vpc-cni"], keys(var.addons))) == 0
    error_message = "addons: aws-ebs-csi-driver, coredns, eks-pod-identity-agent, kube-proxy and vpc-cni are all needed."
  }

  validation {
    condition     = alltrue([for version in values(var.addons) : can(regex("^v[0-9.]+-eksbuild\\.[0-9]+$", version))])
    error_message = "addons: every version is pinned, as in v1.2.3-eksbuild.1."
  }
}

variable "node_groups" {
  description = "Managed node groups. Karpenter adds nodes of its own; the Cluster Autoscaler resizes these groups."
  type = map(object({
    ami_type       = string
    capacity_type  = string
    instance_types = list(string)
    min_size       = number
    max_size       = number
    disk_gib       = number
    labels         = optional(map(string), {})
    taints         = optional(map(string), {})
  }))
  default = {
    system = {
      ami_type       = "AL2023_x86_64_STANDARD"
      capacity_type  = "ON_DEMAND"
      instance_types = ["m7i.xlarge", "m6i.xlarge"]
      min_size       = 2
      max_size       = 6
      disk_gib       = 50
      labels         = { "winnow/pool" = "system" }
    }
    # On demand: replacing an interrupted GPU node takes minutes. max_size holds two chains
    # (kserve_manifests/overlays/canary); the account's quota counts the nodes' vCPUs (README.md).
    gpu = {
      ami_type       = "AL2023_x86_64_NVIDIA"
      capacity_type  = "ON_DEMAND"
      instance_types = ["g6.xlarge", "g5.xlarge"]
      min_size       = 0
      max_size       = 20
      disk_gib       = 100
      labels         = { "winnow/pool" = "gpu", "nvidia.com/gpu.present" = "true" }
      taints         = { "nvidia.com/gpu" = "present" }
    }
    spot = {
      ami_type       = "AL2023_x86_64_STANDARD"
      capacity_type  = "SPOT"
      instance_types = ["m7i.2xlarge", "m6i.2xlarge", "m6a.2xlarge", "r6i.2xlarge"]
      min_size       = 0
      max_size       = 10
      disk_gib       = 100
      labels         = { "winnow/pool" = "spot" }
      taints         = { "winnow/spot" = "true" }
    }
    # Four GPUs per node. A TrainJob continues from its last checkpoint when a node is interrupted.
    training = {
      ami_type       = "AL2023_x86_64_NVIDIA"
      capacity_type  = "SPOT"
      instance_types = ["g6.12xlarge", "g5.12xlarge"]
      min_size       = 0
      max_size       = 4
      disk_gib       = 200
      labels         = { "winnow/pool" = "training", "nvidia.com/gpu.present" = "true" }
      taints         = { "nvidia.com/gpu" = "present" }
    }
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : contains(["ON_DEMAND", "SPOT"], group.capacity_type)])
    error_message = "node_groups: capacity_type is ON_DEMAND or SPOT."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : 0 <= group.min_size && group.min_size <= group.max_size && group.max_size >= 1])
    error_message = "node_groups: 0 <= min_size <= max_size, and max_size is at least 1."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : !endswith(group.ami_type, "_NVIDIA") || contains(keys(group.taints), "nvidia.com/gpu")])
    error_message = "node_groups: a group of GPU nodes needs the taint nvidia.com/gpu, or other pods are scheduled on it."
  }
}

variable "node_autoscaler" {
  description = "Autoscaler of nodes: karpenter; cluster-autoscaler, which resizes the node groups above; or none."
  type        = string
  default     = "karpenter"

  validation {
    condition     = contains(["karpenter", "cluster-autoscaler", "none"], var.node_autoscaler)
    error_message = "node_autoscaler: karpenter, cluster-autoscaler or none."
  }
}

variable "glue_features" {
  description = "Create the feature job on AWS Glue, which costs nothing until it runs."
  type        = bool
  default     = false
}

variable "redis" {
  description = "The online store: size of a node, shards, and replicas of each. Null creates none: Redis runs in the cluster."
  type = object({
    node_type = optional(string, "cache.r7g.large")
    shards    = optional(number, 2)
    replicas  = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.redis == null ? true : var.redis.shards >= 1 && var.redis.shards <= 90 && var.redis.replicas >= 1 && var.redis.replicas <= 5
    error_message = "redis: 1 to 90 shards, 1 to 5 replicas each; without a replica there is no failover."
  }
}

variable "keep_data" {
  description = "Refuse to destroy buckets, images and the cache's contents. Set to false to destroy them."
  type        = bool
  default     = true
}

variable "log_days" {
  description = "Days for which logs of the control plane and the network are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_days)
    error_message = "log_days: 7, 14, 30, 60, 90, 180 or 365, the values that CloudWatch supports."
  }
}

variable "tags" {
  description = "Tags of every resource, beside project and managed-by."
  type        = map(string)
  default     = {}
}
