"""The judgements of preflight.py, and its way through an account that is played."""

import tomllib
import unittest

import preflight
import yaml
from botocore.exceptions import ClientError
from preflight import FAILURE, OK, WARNING

TEMPLATE = yaml.safe_load((preflight.ROOT / "template.yaml").read_text())
CONFIG = tomllib.loads((preflight.ROOT / "samconfig.toml").read_text())
IMAGE = {
    "State": "available",
    "Architecture": "x86_64",
    "RootDeviceName": "/dev/sda1",
    "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 60}}],
}


def values(**overrides):
    return preflight.parameters(TEMPLATE, overrides)


def levels(findings):
    return [level for level, *_ in findings]


class Account:
    """An account in which everything is as it should be."""

    def stack_status(self, name):
        return None

    def executions(self):
        return 1000

    def quota(self, service, code):
        return 8.0

    def zones(self):
        return ["us-east-1a", "us-east-1b", "us-east-1c"]

    def offered(self):
        return {"us-east-1b": ["g6.xlarge"]}

    def image(self, image_id):
        return IMAGE

    def has_spot_role(self):
        return True

    def bucket_region(self, bucket):
        return "us-east-1"

    def vpcs(self):
        return 1


class Preflight(unittest.TestCase):
    def looked(self, account, **overrides):
        found = preflight.look(account, "diogenes", values(**overrides), "us-east-1")
        return {subject: (level, f"{what} → {next_}") for level, subject, what, next_ in found}

    def test_a_good_account_passes(self):
        found = self.looked(Account(), GpuImageId="ami-1", WeightsBucket="weights")
        self.assertEqual({level for level, _ in found.values()}, {OK}, found)
        subjects = ["stack", "executions", "quota", "zones", "image", "spot role", "weights", "network"]
        self.assertEqual(list(found), subjects)

    def test_what_may_not_be_read_is_a_warning(self):
        class Denied(Account):
            def zones(self):
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeAvailabilityZones")

        level, text = self.looked(Denied(), GpuImageId="ami-1")["zones"]
        self.assertEqual(level, WARNING)
        self.assertIn("AccessDenied", text)

    def test_a_new_stack_needs_an_image_and_an_old_one_keeps_its_own(self):
        self.assertEqual(self.looked(Account())["image"][0], FAILURE)

        class Deployed(Account):
            def stack_status(self, name):
                return "UPDATE_COMPLETE"

        found = self.looked(Deployed())
        self.assertNotIn("image", found)
        self.assertNotIn("network", found)

    def test_the_parameters_are_those_of_the_template(self):
        self.assertEqual(values(ZoneCount="2")["ZoneCount"], "2")
        self.assertIsNone(values()["GpuImageId"])
        with self.assertRaisesRegex(ValueError, "no parameter `Zones`"):
            values(Zones="2")
        for name in preflight.RESERVATIONS:
            self.assertGreater(int(values()[name]), 0, name)

    def test_every_environment_names_a_stack_of_its_own(self):
        names = [preflight.stack_name(CONFIG, environment, None) for environment in ("default", "staging")]
        self.assertEqual(names, ["diogenes", "diogenes-staging"])
        self.assertEqual(preflight.stack_name(CONFIG, "default", "mine"), "mine")

    def test_names_and_states_of_stacks(self):
        for name, level in (("diogenes", OK), ("my_stack", FAILURE), ("1st", FAILURE), (None, FAILURE)):
            self.assertEqual(levels(preflight.judge_name(name)), [level], name)
        for status, level in (
            (None, OK),
            ("UPDATE_ROLLBACK_COMPLETE", OK),
            ("ROLLBACK_COMPLETE", FAILURE),
            ("UPDATE_IN_PROGRESS", FAILURE),
            ("UPDATE_ROLLBACK_FAILED", FAILURE),
        ):
            self.assertEqual(levels(preflight.judge_stack("s", status)), [level], status)

    def test_reservations_must_leave_what_aws_keeps(self):
        reserved = sum(int(values()[name]) for name in preflight.RESERVATIONS)
        none = {name: "0" for name in preflight.RESERVATIONS}
        for limit, overrides, level in (
            (reserved + 100, {}, OK),
            (reserved + 99, {}, FAILURE),
            (10, none, WARNING),
            (1000, none, OK),
        ):
            findings = preflight.judge_executions(limit, values(**overrides), "us-east-1")
            self.assertEqual(levels(findings), [level], limit)

    def test_quotas_below_one_instance_are_told(self):
        findings = preflight.judge_gpu_quotas({"L-DB2E81BA": 0.0, "L-3819A6DF": 4.0}, "us-east-1")
        self.assertEqual(levels(findings), [WARNING, OK])
        self.assertIn("--quota-code L-DB2E81BA", findings[0][3])

    def test_zones(self):
        zones = ["a", "b", "c"]
        for overrides, offered, level, text in (
            ({}, {"c": ["g6.xlarge"]}, OK, "in c"),
            ({"ZoneCount": "1"}, {"c": ["g6.xlarge"]}, WARNING, "c have some"),
            ({"ZoneCount": "1"}, {}, WARNING, "another region"),
            ({"ZoneNames": "a,x,c"}, {}, FAILURE, "ZoneNames has x"),
            ({"ZoneNames": "a,b"}, {}, FAILURE, "ZoneCount=2"),
        ):
            [(found, _, what, next_)] = preflight.judge_zones(zones, values(**overrides), offered)
            self.assertEqual(found, level, overrides)
            self.assertIn(text, f"{what} {next_}")

    def test_images(self):
        judged = lambda image, **overrides: levels(preflight.judge_image("ami-1", image, values(**overrides)))
        self.assertEqual(judged(IMAGE), [OK])
        self.assertEqual(judged(None), [FAILURE])
        self.assertEqual(judged({**IMAGE, "State": "pending"}), [FAILURE])
        self.assertEqual(judged({**IMAGE, "Architecture": "arm64"}), [FAILURE])
        self.assertEqual(judged(IMAGE, GpuRootDeviceName="/dev/xvda"), [FAILURE])
        self.assertEqual(judged(IMAGE, GpuRootVolumeGiB="50"), [FAILURE])

    def test_buckets_roles_and_networks(self):
        self.assertEqual(levels(preflight.judge_bucket("b", "eu-west-1", "us-east-1")), [FAILURE])
        self.assertEqual(levels(preflight.judge_bucket("b", None, "us-east-1")), [FAILURE])
        self.assertEqual(levels(preflight.judge_spot_role(False)), [WARNING])
        self.assertEqual(levels(preflight.judge_vpcs(5, 5.0)), [FAILURE])


if __name__ == "__main__":
    unittest.main()
