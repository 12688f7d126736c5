# One role per workload, assumed through Pod Identity by one service account of this cluster.
locals {
  # Service accounts by workload and namespace. The accounts of add-ons are in cluster.tf.
  accounts = merge(
    {
      predictor   = { winnow = ["predictor"] }
      transformer = { winnow = ["transformer"] }
      feedback    = { winnow = ["feedback"] }
      pipelines   = { kubeflow = ["pipeline-runner"] }
      kubeflow    = { kubeflow = ["ml-pipeline", "ml-pipeline-ui"] }
      training    = { winnow-jobs = ["training"] }
      spark       = { winnow-jobs = ["spark"] }
      milvus      = { milvus = ["milvus"] }
    },
    var.node_autoscaler == "karpenter" ? { karpenter = { kube-system = ["karpenter"] } } : {},
    var.node_autoscaler == "cluster-autoscaler" ? { autoscaler = { kube-system = ["cluster-autoscaler"] } } : {},
  )
  addon_service_accounts = { for addon, account in local.addon_accounts : addon => { kube-system = [account] } }
  workloads              = merge(local.accounts, local.addon_service_accounts)

  associations = {
    for association in flatten([
      for workload, namespaces in local.accounts : [
        for namespace, names in namespaces : [
          for name in names : { workload = workload, namespace = namespace, name = name }
        ]
      ]
    ]) : "${association.namespace}/${association.name}" => association
  }

  policies = merge(
    {
      for workload, document in data.aws_iam_policy_document.buckets : workload => document.json
      if !contains(keys(local.glue_readers), workload) && contains(keys(local.accounts), workload)
    },
    { for workload, document in data.aws_iam_policy_document.glue : workload => document.json },
    { for workload, document in data.aws_iam_policy_document.karpenter : workload => document.json },
    { for workload, document in data.aws_iam_policy_document.autoscaler : workload => document.json },
  )

  # AWS's managed policies, for add-ons whose documentation names no narrower policy.
  managed_policies = {
    "aws-ebs-csi-driver" = "service-role/AmazonEBSCSIDriverPolicy"
    "vpc-cni"            = "AmazonEKS_CNI_Policy"
  }
}

resource "aws_iam_role" "workload" {
  for_each = local.workloads

  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trusted_pods[each.key].json
}

resource "aws_iam_role_policy" "workload" {
  for_each = local.policies

  name   = each.key
  role   = aws_iam_role.workload[each.key].id
  policy = each.value
}

resource "aws_iam_role_policy_attachment" "workload" {
  for_each = local.managed_policies

  role       = aws_iam_role.workload[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value}"
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.associations

  cluster_name    = aws_eks_cluster.this.name
  namespace       = each.value.namespace
  service_account = each.value.name
  role_arn        = aws_iam_role.workload[each.value.workload].arn
}

data "aws_iam_policy_document" "trusted_pods" {
  for_each = local.workloads

  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }

    # Pod Identity sets these tags: associations of other accounts or clusters are refused.
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/eks-cluster-arn"
      values   = [local.cluster_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-namespace"
      values   = keys(each.value)
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-service-account"
      values   = flatten(values(each.value))
    }
  }
}

data "aws_iam_policy_document" "trusted_service" {
  for_each = toset(["ec2", "eks", "vpc-flow-logs"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
  }
}
