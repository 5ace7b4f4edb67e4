"""Exported templates: CloudFormation's is judged by cfn-lint, Terraform's JSON by its own rules for references."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatops.infra.export import cloudformation, terraform
from chatops.infra.resources import Desired

DESIRED = Desired(name="prod", region="eu-west-1", account="111122223333", gateway="x-ats.iot.eu-west-1.amazonaws.com")
OWN = Desired(
    name="prod",
    region="eu-west-1",
    account="111122223333",
    gateway="x",
    policy={
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "arn:aws:iot:*:*:topic/%{x}${aws:userid}"}],
    },
)


@pytest.mark.parametrize("desired", [DESIRED, OWN])
def test_cfn_lint_accepts_the_template(desired: Desired, tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(cloudformation(desired)))
    linter = str(Path(sys.executable).with_name("cfn-lint"))
    done = subprocess.run(
        [linter, "--regions", "eu-west-1", "--", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_template_says_what_setup_makes() -> None:
    resources = cloudformation(DESIRED)["Resources"]
    policies = resources["GuestRole"]["Properties"]["Policies"]
    assert policies == [{"PolicyName": DESIRED.policy_name, "PolicyDocument": DESIRED.guest_policy()}]
    trust = resources["GuestRole"]["Properties"]["AssumeRolePolicyDocument"]
    condition = trust["Statement"][0]["Condition"]["StringEquals"]
    assert condition == {"cognito-identity.amazonaws.com:aud": {"Ref": "IdentityPool"}}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def unescaped(text: str) -> str:
    return text.replace("$${", "${").replace("%%{", "%{")


@pytest.mark.parametrize("desired", [DESIRED, OWN])
def test_terraforms_references_are_to_what_is_there_and_policies_are_literal(desired: Desired) -> None:
    document = json.loads(json.dumps(terraform(desired)))
    there = {f"{kind}.{name}" for kind, named in document["resource"].items() for name in named}
    references = [match for text in texts(document) for match in re.findall(r"(?<!\$)\$\{([^}]*)\}", text)]
    assert references
    assert {reference.rpartition(".")[0] for reference in references} <= there
    assert not any(re.search(r"(?<!%)%\{", text) for text in texts(document))
    policy = document["resource"]["aws_iam_role_policy"]["chat"]["policy"]
    assert json.loads(unescaped(policy)) == desired.guest_policy()
    trust = document["resource"]["aws_iam_role"]["chat"]["assume_role_policy"]
    reference = "${aws_cognito_identity_pool.chat.id}"
    assert json.loads(trust) == desired.trust_policy(reference)
