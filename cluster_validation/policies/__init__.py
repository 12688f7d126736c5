"""Security policies: restricted pods, and checkov's policies for Terraform, objects and Dockerfiles."""
