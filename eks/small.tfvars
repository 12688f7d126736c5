# A small team's cluster (README.md): no GPU, one small node group of fixed size, Redis inside the cluster, and AWS APIs over
# NAT. `SIZE=small` after every make selects it, with kserve_manifests/overlays/small.
node_autoscaler     = "none"
interface_endpoints = []
redis               = null
log_days            = 30
node_groups = {
  system = {
    ami_type       = "AL2023_x86_64_STANDARD"
    capacity_type  = "ON_DEMAND"
    instance_types = ["m7i-flex.large", "m6i.large"]
    # One in each zone, because a volume cannot be attached in another zone.
    min_size = 3
    max_size = 4
    disk_gib = 80
    labels   = { "winnow/pool" = "system" }
  }
}
