# The image of GPU instances. `packer init .`, then `packer build .`; README.md has the steps.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1.3"
    }
  }
}

variable "region" {
  type        = string
  description = "The region of the stack."
}

variable "agent" {
  type        = string
  default     = "../target/release/diogenes-agent"
  description = "The agent, built for x86_64."
}

variable "models" {
  type        = string
  default     = ""
  description = "Models to bake, as Hugging Face names them, separated by spaces. Empty: weights come from S3."
}

variable "hf_token" {
  type        = string
  default     = env("HF_TOKEN")
  sensitive   = true
  description = "For models that want one. Give it as the variable HF_TOKEN of the environment; `-var` shows it in the list of processes."
}

variable "warm" {
  type        = bool
  default     = false
  description = "Start each model once so that its compile cache is in the image. Needs build_type with the GPU that shall serve."
}

variable "warm_arguments" {
  type        = string
  default     = ""
  description = "Arguments of `vllm serve`, the same as in the model's command."
}

variable "build_type" {
  type        = string
  default     = "m7i.large"
  description = "The machine that builds. Any x86_64 one without `warm`; with it for instance g6.xlarge."
}

variable "volume_gib" {
  type        = number
  default     = 60
  description = "Size of the root volume: 30 for driver and vLLM, the rest for weights. GpuRootVolumeGiB must not be less."
}

variable "vllm_version" {
  type    = string
  default = "0.33.0"
}

variable "nvidia_driver" {
  type    = string
  default = "580"
}

variable "last_resort" {
  type        = string
  default     = "25h"
  description = "After so long an instance ends itself whatever happens. Above GpuMaxLifetimeHours of the template."
}

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
  setup = [
    "VLLM_VERSION=${var.vllm_version}",
    "NVIDIA_DRIVER=${var.nvidia_driver}",
    "AGENT=/tmp/diogenes-agent",
    "FILES=/tmp/files",
    "LAST_RESORT=${var.last_resort}",
    "MODELS=${var.models}",
    "WARM_ARGUMENTS=${var.warm_arguments}",
  ]
  # sudo writes its whole command line to the logs: no secret belongs into `setup`.
  as_root = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  # In memory: what is deleted from a disk is still in the blocks of its snapshot.
  in_memory = "/run/diogenes-build"
}

source "amazon-ebs" "gpu" {
  region          = var.region
  instance_type   = var.build_type
  ami_name        = "diogenes-gpu-${local.stamp}"
  ami_description = "Diogenes GPU instance: vLLM ${var.vllm_version}, NVIDIA ${var.nvidia_driver}"
  ssh_username    = "ubuntu"

  source_ami_filter {
    # Canonical's account.
    owners      = ["099720109477"]
    most_recent = true
    filters = {
      name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
      virtualization-type = "hvm"
    }
  }

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }
  imds_support = "v2.0"

  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_type           = "gp3"
    volume_size           = var.volume_gib
    iops                  = 3000
    throughput            = 500
    delete_on_termination = true
  }

  tags = {
    Name            = "diogenes-gpu-${local.stamp}"
    "diogenes:vllm" = var.vllm_version
  }
  snapshot_tags = {
    Name = "diogenes-gpu-${local.stamp}"
  }
  run_tags = {
    Name = "diogenes image build"
  }
}

build {
  sources = ["source.amazon-ebs.gpu"]

  provisioner "file" {
    source      = var.agent
    destination = "/tmp/diogenes-agent"
  }
  provisioner "file" {
    source      = "setup.sh"
    destination = "/tmp/setup.sh"
  }
  provisioner "file" {
    source      = "files"
    destination = "/tmp"
  }

  provisioner "shell" {
    environment_vars = local.setup
    execute_command  = local.as_root
    inline           = ["bash /tmp/setup.sh base driver engine"]
  }

  # The only step that gets the token, and on no command line: Packer uploads a file of variables,
  # which root's shell reads.
  provisioner "shell" {
    execute_command = local.as_root
    inline          = ["install -d -m 0700 -o ubuntu ${local.in_memory}"]
  }
  provisioner "shell" {
    environment_vars = concat(local.setup, ["HF_TOKEN=${var.hf_token}"])
    use_env_var_file = true
    remote_folder    = local.in_memory
    # By `sh`, as no program may be started from there.
    execute_command = "sudo -n sh -c '. {{ .EnvVarFile }} && exec sh -e {{ .Path }}'"
    inline          = ["bash /tmp/setup.sh weights"]
  }

  # The driver is loaded by the next boot; only `warm` needs it.
  provisioner "shell" {
    execute_command   = local.as_root
    inline            = [var.warm ? "systemctl enable ssh.socket; systemctl reboot" : "true"]
    expect_disconnect = true
  }
  provisioner "shell" {
    environment_vars = local.setup
    execute_command  = local.as_root
    inline           = [var.warm ? "bash /tmp/setup.sh warm" : "true"]
    pause_before     = var.warm ? "30s" : "0s"
  }

  # The agent last: from the next boot on the machine looks for its orders and takes nobody's by SSH.
  provisioner "shell" {
    environment_vars = local.setup
    execute_command  = local.as_root
    inline = [
      "bash /tmp/setup.sh base agent check clean",
      "rm -rf /tmp/setup.sh /tmp/files /tmp/diogenes-agent ${local.in_memory}",
    ]
  }
}
