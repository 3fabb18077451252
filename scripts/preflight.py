#!/usr/bin/env python3
"""Looks, before a deployment, for what would make it fail or leave it without GPUs.

usage: preflight.py [--stack-name NAME] [--region REGION] [--config-env ENV] [PARAMETER=VALUE ...]

`make deploy` runs it with the parameters and flags that sam gets; it changes nothing. It needs boto3,
which comes with aws-sam-cli, and credentials as AWS's own CLI finds them.

Exit codes: 0 nothing stands in the way, 1 something does, 2 wrong usage
"""

import argparse
import os
import pathlib
import re
import sys
import tomllib

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
# AWS lets nobody reserve the last of an account's concurrent executions.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
UNRESERVED_EXECUTIONS = 100
RESERVATIONS = [
    "RouterReservedConcurrency",
    "AuthorizerReservedConcurrency",
    "OrchestratorReservedConcurrency",
    "JobsReservedConcurrency",
    "TransfersReservedConcurrency",
    "OutboundReservedConcurrency",
]
# vCPUs of the smallest instance with a GPU that the documentation uses, and what it counts against.
SMALLEST = 4
GPU_QUOTAS = {"L-DB2E81BA": "Running On-Demand G and VT instances", "L-3819A6DF": "All G and VT Spot Instance Requests"}
USUAL_TYPES = ["g4dn.xlarge", "g5.xlarge", "g6.xlarge"]
VPCS = ("L-F678F1CE", "VPCs per Region")

OK, WARNING, FAILURE = "ok", "warning", "FAILURE"


def parameters(template, overrides):
    """The value of every parameter, or None where it has neither a value nor a default."""
    known = template["Parameters"]
    values = {name: each.get("Default") for name, each in known.items()}
    for name, value in overrides.items():
        if name not in known:
            raise ValueError(f"the template has no parameter `{name}`; it has {', '.join(sorted(known))}")
        values[name] = value
    return {name: None if value is None else str(value) for name, value in values.items()}


def stack_name(config, environment, given):
    """The stack that sam would deploy."""
    return given or config.get(environment, {}).get("global", {}).get("parameters", {}).get("stack_name")


def judge_name(name):
    if name and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", name):
        return [(OK, "stack", f"`{name}` is a valid name", "")]
    what = f"`{name}` is not a valid name of a stack"
    return [(FAILURE, "stack", what, "use letters, digits and hyphens, and begin with a letter")]


def judge_stack(name, status):
    """`status` is None for a stack that does not exist."""
    if status is None:
        return [(OK, "stack", f"`{name}` will be created", "")]
    text = f"`{name}` is {status}"
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        return [(FAILURE, "stack", f"{text}: it can only be deleted", f'`make sam ARGS="delete --stack-name {name}"`')]
    if status == "UPDATE_ROLLBACK_FAILED":
        next_ = f"`aws cloudformation continue-update-rollback --stack-name {name}`"
        return [(FAILURE, "stack", text, next_)]
    if status.endswith("_IN_PROGRESS"):
        return [(FAILURE, "stack", text, "wait until it is done")]
    return [(OK, "stack", text, "")]


def judge_executions(limit, values, region):
    reserved = sum(int(values[name]) for name in RESERVATIONS)
    text = f"{limit} concurrent executions, of which the stack reserves {reserved}"
    ask = (
        "`aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
        f"--desired-value 1000 --region {region}`"
    )
    if reserved and limit - reserved < UNRESERVED_EXECUTIONS:
        none = " ".join(f"{name}=0" for name in RESERVATIONS)
        next_ = f"ask for more with {ask}, or deploy with `{none}` and read what docs/OPERATIONS.md says of it"
        return [(FAILURE, "executions", f"{text}: AWS keeps {UNRESERVED_EXECUTIONS} unreserved", next_)]
    if limit < UNRESERVED_EXECUTIONS:
        return [(WARNING, "executions", f"{text}: held requests use them up", f"ask for more with {ask}")]
    return [(OK, "executions", text, "")]


def judge_gpu_quotas(quotas, region):
    """`quotas` are vCPUs by the quota's code."""
    findings = []
    for code, name in GPU_QUOTAS.items():
        if code not in quotas:
            continue
        text = f'"{name}" ({code}) is {quotas[code]:g} vCPUs'
        if quotas[code] >= SMALLEST:
            findings.append((OK, "quota", text, ""))
            continue
        next_ = (
            "`aws service-quotas request-service-quota-increase --service-code ec2 "
            f"--quota-code {code} --desired-value {SMALLEST} --region {region}`; it can take a day"
        )
        findings.append((WARNING, "quota", f"{text}: not one GPU instance can be launched by it", next_))
    return findings


def judge_zones(zones, values, offered):
    """`zones` are those of the region, `offered` the usual GPU types by zone."""
    names = [name for name in (values["ZoneNames"] or "").split(",") if name]
    count = int(values["ZoneCount"])
    strangers = [name for name in names if name not in zones]
    if strangers:
        what = f"ZoneNames has {', '.join(strangers)}, which this account does not have here"
        return [(FAILURE, "zones", what, f"choose from {', '.join(zones)}")]
    chosen = (names or zones)[:count]
    if len(chosen) < count:
        what = f"ZoneCount is {count}, and there are {len(chosen)} zones"
        return [(FAILURE, "zones", what, f"deploy with `ZoneCount={len(chosen)}`, or name more in ZoneNames")]
    with_gpus = [zone for zone in chosen if offered.get(zone)]
    if with_gpus:
        types = sorted({kind for zone in with_gpus for kind in offered[zone]})
        text = f"{', '.join(chosen)}; GPUs ({', '.join(types)}) in {', '.join(with_gpus)}"
        return [(OK, "zones", text, "")]
    others = sorted(zone for zone in zones if offered.get(zone))
    next_ = f"name zones in ZoneNames; {', '.join(others)} have some" if others else "take another region"
    what = f"{', '.join(chosen)} offer none of {', '.join(USUAL_TYPES)}"
    return [(WARNING, "zones", what, next_)]


def judge_image(image_id, image, values):
    """`image` is None if there is none of this id."""
    if image is None:
        next_ = "build it in this region (ami/README.md), or correct GpuImageId"
        return [(FAILURE, "image", f"there is no image `{image_id}` here for this account", next_)]
    if image["State"] != "available":
        return [(FAILURE, "image", f"`{image_id}` is {image['State']}", "wait until it is available, or build it again")]
    findings = []
    if image.get("Architecture") != "x86_64":
        what = f"`{image_id}` is for {image.get('Architecture')}; instances with GPUs are x86_64"
        findings.append((FAILURE, "image", what, "build it on an x86_64 machine"))
    root = image.get("RootDeviceName")
    if root != values["GpuRootDeviceName"]:
        what = f"the root device of `{image_id}` is {root}, and GpuRootDeviceName {values['GpuRootDeviceName']}"
        findings.append((FAILURE, "image", what, f"deploy with `GpuRootDeviceName={root}`"))
    volumes = [each["Ebs"] for each in image.get("BlockDeviceMappings", []) if each.get("DeviceName") == root and "Ebs" in each]
    size = max((volume.get("VolumeSize", 0) for volume in volumes), default=0)
    if size > int(values["GpuRootVolumeGiB"]):
        what = f"`{image_id}` is {size} GiB large, and GpuRootVolumeGiB {values['GpuRootVolumeGiB']}"
        findings.append((FAILURE, "image", what, f"deploy with `GpuRootVolumeGiB={size}` or more"))
    return findings or [(OK, "image", f"`{image_id}` is available", "")]


def judge_spot_role(exists):
    if exists:
        return [(OK, "spot role", "it exists", "")]
    what = "the account has no service-linked role for spot instances: spot launches will be refused"
    return [(WARNING, "spot role", what, "`aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`")]


def judge_bucket(bucket, where, region):
    """`where` is the bucket's region, None if there is no such bucket."""
    if where is None:
        return [(FAILURE, "weights", f"there is no bucket `{bucket}`", f"`aws s3 mb s3://{bucket}`, or correct WeightsBucket")]
    if where != region:
        what = f"bucket `{bucket}` is in {where}: every cold start would pay for the transfer, and wait for it"
        return [(FAILURE, "weights", what, f"copy it to a bucket in {region}")]
    return [(OK, "weights", f"bucket `{bucket}` is in {region}", "")]


def judge_vpcs(used, limit):
    text = f"{used} of {limit:g} VPCs are used"
    if used < limit:
        return [(OK, "network", text, "")]
    next_ = f"delete one, or raise the quota \"{VPCS[1]}\" ({VPCS[0]}) of the service `vpc`"
    return [(FAILURE, "network", f"{text}, and the stack needs one", next_)]


class Account:
    """What AWS tells of the account and region."""

    def __init__(self, session):
        self.session = session

    def stack_status(self, name):
        client = self.session.client("cloudformation")
        try:
            return client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        except client.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def executions(self):
        return self.session.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]

    def quota(self, service, code):
        client = self.session.client("service-quotas")
        which = {"ServiceCode": service, "QuotaCode": code}
        try:
            return client.get_service_quota(**which)["Quota"]["Value"]
        except client.exceptions.NoSuchResourceException:
            return client.get_aws_default_service_quota(**which)["Quota"]["Value"]

    def zones(self):
        # Without local and wavelength zones.
        answer = self.session.client("ec2").describe_availability_zones(
            Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}, {"Name": "state", "Values": ["available"]}]
        )
        return sorted(zone["ZoneName"] for zone in answer["AvailabilityZones"])

    def offered(self):
        pages = self.session.client("ec2").get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": USUAL_TYPES}]
        )
        offered = {}
        for page in pages:
            for each in page["InstanceTypeOfferings"]:
                offered.setdefault(each["Location"], []).append(each["InstanceType"])
        return offered

    def image(self, image_id):
        client = self.session.client("ec2")
        try:
            images = client.describe_images(ImageIds=[image_id])["Images"]
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"].startswith("InvalidAMIID"):
                return None
            raise
        return images[0] if images else None

    def has_spot_role(self):
        client = self.session.client("iam")
        try:
            client.get_role(RoleName="AWSServiceRoleForEC2Spot")
        except client.exceptions.NoSuchEntityException:
            return False
        return True

    def bucket_region(self, bucket):
        client = self.session.client("s3")
        try:
            # Buckets of us-east-1 have none.
            return client.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchBucket":
                return None
            raise

    def vpcs(self):
        pages = self.session.client("ec2").get_paginator("describe_vpcs").paginate()
        return sum(len(page["Vpcs"]) for page in pages)


def look(account, name, values, region):
    """Yields what is found; what may not be read is a warning and stops nothing."""
    from botocore.exceptions import BotoCoreError, ClientError

    def checked(subject, judge):
        try:
            return judge()
        except (BotoCoreError, ClientError) as error:
            return [(WARNING, subject, f"could not be checked: {error}", "look in the console")]

    yield from judge_name(name)
    status = "unknown"

    def stack():
        nonlocal status
        status = account.stack_status(name)
        return judge_stack(name, status)

    yield from checked("stack", stack)
    yield from checked("executions", lambda: judge_executions(account.executions(), values, region))
    yield from checked("quota", lambda: judge_gpu_quotas({code: account.quota("ec2", code) for code in GPU_QUOTAS}, region))
    yield from checked("zones", lambda: judge_zones(account.zones(), values, account.offered()))
    # A stack that exists keeps the image that it has.
    if values["GpuImageId"]:
        image_id = values["GpuImageId"]
        yield from checked("image", lambda: judge_image(image_id, account.image(image_id), values))
    elif status is None:
        yield (FAILURE, "image", "GpuImageId has no default", "build the image (ami/README.md) and name it")
    yield from checked("spot role", lambda: judge_spot_role(account.has_spot_role()))
    if values["WeightsBucket"]:
        bucket = values["WeightsBucket"]
        yield from checked("weights", lambda: judge_bucket(bucket, account.bucket_region(bucket), region))
    if status is None:
        yield from checked("network", lambda: judge_vpcs(account.vpcs(), account.quota("vpc", VPCS[0])))


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--stack-name")
    parser.add_argument("--region")
    parser.add_argument("--config-env", default="default")
    # Other flags are sam's.
    options, rest = parser.parse_known_args(arguments)
    pairs = [text.partition("=") for text in rest if re.match(r"[A-Za-z]\w*=", text)]
    template = yaml.safe_load((ROOT / "template.yaml").read_text())
    try:
        values = parameters(template, {name: value for name, _, value in pairs})
    except ValueError as error:
        print(f"preflight: {error}", file=sys.stderr)
        return 2
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    name = stack_name(config, options.config_env, options.stack_name)

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    # boto3 knows the other variable only.
    session = boto3.Session(region_name=options.region or os.environ.get("AWS_REGION"))
    if not session.region_name:
        print("preflight: no AWS region is set; set AWS_REGION, or pass `--region` to sam", file=sys.stderr)
        return 1
    try:
        identity = session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        print(f"preflight: no usable AWS credentials: {error}; run `aws configure` or `aws sso login`", file=sys.stderr)
        return 1
    print(f"preflight: {identity['Arn']} in {session.region_name}")
    failed = False
    for level, subject, what, next_ in look(Account(session), name, values, session.region_name):
        failed = failed or level == FAILURE
        print(f"  {level:<8} {subject:<11} {what}" + (f"\n{'':23}→ {next_}" if next_ else ""))
    if failed:
        print("preflight: not deployed; `make deploy PREFLIGHT=` deploys all the same", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
