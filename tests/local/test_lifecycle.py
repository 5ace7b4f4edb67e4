"""The lifecycle commands through real HTTP, with a proxy in between that fails on demand."""

import json
import os
import threading

import pytest

from chatops.aws import cognito, iam
from chatops.aws.session import Aws, AwsTarget
from chatops.chat.policy import guest_policy
from chatops.infra.permissions import ALWAYS_ALLOWED, COMMANDS, IMPLIED, RARE, operator_actions
from tests.local.cli import Finished, assert_two_line_error, chatops
from tests.local.harness import RunningStack
from tests.local.shell import Shell, writes


def test_from_nothing_to_nothing(shell: Shell, stack: RunningStack) -> None:
    planned = shell("plan", "--env", "life")
    assert planned.code == 8
    assert "+ create" in planned.stdout
    assert writes(shell.proxy) == []
    assert shell("setup", "--env", "life", "--yes").code == 0
    assert shell("plan", "--env", "life").code == 0
    status = shell.document("status", "--env", "life")
    assert status["healthy"] is True
    assert status["identities"] == 1  # setup asked as a guest until IAM was there
    pool = shell.environment("life").identity_pool_id
    torn = shell("teardown", "--env", "life", "--yes")
    assert torn.code == 0, torn.stderr
    assert "nothing that carries its tags is left" in torn.stderr
    assert pool not in dict(cognito.list_pools(stack.aws()))
    assert iam.find_role(stack.aws(), "chatops-life-us-east-1-guest") is None
    assert not (shell.folder / "env" / "life.json").exists()
    assert json.loads((shell.folder / "env" / "life.removed.json").read_text())["cognitoIdentityPoolId"] == pool
    again = shell("teardown", "--env", "life", "--yes")
    assert again.code == 0
    assert "nothing of life to remove" in again.stderr


def test_plan_and_status_make_no_write_call(shell: Shell) -> None:
    assert shell("setup", "--env", "reads", "--yes").code == 0
    shell.proxy.actions.clear()
    for arguments in (["plan"], ["status"], ["plan", "--json"], ["plan", "--export", "terraform"]):
        assert shell(*arguments, "--env", "reads").code == 0
    assert shell.proxy.actions
    assert writes(shell.proxy) == []


def test_setup_again_makes_no_write_call(shell: Shell) -> None:
    assert shell("setup", "--env", "again", "--yes").code == 0
    shell.proxy.actions.clear()
    assert "nothing was changed" in shell("setup", "--env", "again").stderr
    assert writes(shell.proxy) == []


def test_status_says_what_drifted_and_how(shell: Shell, stack: RunningStack) -> None:
    assert shell("setup", "--env", "drifts", "--yes").code == 0
    found = shell.environment("drifts")
    wide = guest_policy(region="us-east-1", account="123456789012", prefix="/")
    iam.put_inline_policy(stack.aws(), found.managed["role"], found.managed["policy"], wide)
    status = shell("status", "--env", "drifts")
    assert status.code == 8
    assert "drifted  guest policy" in status.stdout
    removed = [line.strip() for line in status.stdout.splitlines() if line.strip().startswith("-")]
    assert any('"Resource": "arn:aws:iot:us-east-1:123456789012:topic//*"' in line for line in removed)
    assert shell("setup", "--env", "drifts", "--yes").code == 0
    assert shell("status", "--env", "drifts").code == 0


def test_what_else_the_role_grants_is_found_and_removed(shell: Shell, stack: RunningStack) -> None:
    assert shell("setup", "--env", "extra", "--yes").code == 0
    role = shell.environment("extra").managed["role"]
    aws = stack.aws()
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    iam.put_inline_policy(aws, role, "by-hand", everything)
    created = aws.call("iam", "create_policy", PolicyName="managed-by-hand", PolicyDocument=json.dumps(everything))
    aws.call("iam", "attach_role_policy", RoleName=role, PolicyArn=created["Policy"]["Arn"])
    status = shell.document("status", "--env", "extra")
    foreign = [r["name"] for r in status["resources"] if r["state"] == "foreign"]  # type: ignore[attr-defined]
    assert sorted(foreign) == ["arn:aws:iam::123456789012:policy/managed-by-hand", "by-hand"]
    doctor = shell("doctor", "--env", "extra")
    assert doctor.code == 8
    assert "wrong   connect as another" in doctor.stdout
    assert shell("setup", "--env", "extra", "--yes").code == 0
    assert iam.inline_policies(aws, role) == ["chatops-guest"]
    assert iam.attached_policies(aws, role) == []


def test_a_renamed_pool_is_found_by_file_and_tag(shell: Shell, stack: RunningStack) -> None:
    assert shell("setup", "--env", "renamed", "--yes").code == 0
    pool = shell.environment("renamed").identity_pool_id
    cognito.change_pool(stack.aws(), pool, {"IdentityPoolName": "something-else"})
    assert shell("setup", "--env", "renamed", "--yes").code == 0
    assert shell.environment("renamed").identity_pool_id == pool
    assert cognito.describe_pool(stack.aws(), pool).name == "chatops-renamed"


def test_a_pool_made_by_hand_is_adopted(shell: Shell, stack: RunningStack) -> None:
    made = cognito.create_pool(
        stack.aws(),
        {
            "IdentityPoolName": "my chat",
            "AllowUnauthenticatedIdentities": False,
            "AllowClassicFlow": True,
            "IdentityPoolTags": {"team": "games"},
        },
    )
    adopted = shell("setup", "--env", "adopted", "--adopt", made.pool_id, "--yes")
    assert adopted.code == 0, adopted.stderr
    assert "it is taken over" in adopted.stderr
    assert '-  "IdentityPoolName": "my chat"' in adopted.stderr
    pool = cognito.describe_pool(stack.aws(), made.pool_id)
    assert (pool.name, pool.guests_allowed, pool.classic_flow) == ("chatops-adopted", True, False)
    assert pool.tags == {"team": "games", "chatops:environment": "adopted", "chatops:managed": "true"}
    assert shell.environment("adopted").identity_pool_id == made.pool_id
    assert shell("plan", "--env", "adopted").code == 0
    assert_two_line_error(shell("setup", "--env", "thief", "--adopt", made.pool_id, "--yes"), 3, "'adopted'")
    nobodys = "us-east-1:00000000-0000-4000-8000-000000000000"
    assert_two_line_error(shell("setup", "--env", "none", "--adopt", nobodys, "--yes"), 5, nobodys)


NOT_CALLED_WHEN_FRESH = {
    "cognito-identity:DescribeIdentityPool",
    "cognito-identity:UpdateIdentityPool",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
}


@pytest.mark.parametrize(
    "action", sorted(operator_actions(["setup"]) - IMPLIED - RARE["setup"] - NOT_CALLED_WHEN_FRESH)
)
def test_access_denied_on_each_call_of_a_fresh_setup_names_the_action(shell: Shell, action: str) -> None:
    shell.proxy.deny = action
    name = action.partition(":")[2].lower()
    finished = shell("setup", "--env", name, "--yes")
    assert shell.proxy.count(action) >= 1
    assert finished.code in {4, 7}
    assert action in finished.stderr
    shell.proxy.deny = None
    assert shell("setup", "--env", name, "--yes").code == 0
    assert shell("plan", "--env", name).code == 0


@pytest.mark.parametrize(
    "action",
    [
        "cognito-identity:DescribeIdentityPool",
        "iam:GetRolePolicy",
        "iam:ListRolePolicies",
        "iam:ListAttachedRolePolicies",
    ],
)
def test_access_denied_on_each_call_of_a_second_look_names_the_action(shell: Shell, action: str) -> None:
    assert shell("setup", "--env", "second", "--yes").code == 0
    shell.proxy.deny = action
    for command in ("plan", "status"):
        assert_two_line_error(shell(command, "--env", "second"), 4, action)


@pytest.mark.parametrize("action", ["cognito-identity:DeleteIdentityPool", "iam:DeleteRole", "iam:DeleteRolePolicy"])
def test_access_denied_on_each_call_of_a_teardown_names_the_action(shell: Shell, action: str) -> None:
    name = f"stays-{action.partition(':')[2].lower()}"
    assert shell("setup", "--env", name, "--yes").code == 0
    shell.proxy.deny = action
    finished = shell("teardown", "--env", name, "--yes")
    assert finished.code in {4, 7}
    assert action in finished.stderr
    shell.proxy.deny = None
    assert shell("teardown", "--env", name, "--yes").code == 0


def test_endpoints_of_other_types(shell: Shell) -> None:
    assert shell("describe-endpoint", "--type", "iot:Jobs").code == 0
    assert_two_line_error(shell("describe-endpoint", "--type", "iot:Data"), 2, "iot:Data")
    shell.proxy.deny = "iot:DescribeEndpoint"
    assert_two_line_error(shell("describe-endpoint"), 4, "iot:DescribeEndpoint")


def test_access_denied_on_who_one_is(shell: Shell) -> None:
    shell.proxy.deny = "sts:GetCallerIdentity"
    assert_two_line_error(shell("plan", "--env", "x"), 4, "sts:GetCallerIdentity")


@pytest.mark.parametrize("action", ["cognito-identity:CreateIdentityPool", "iam:CreateRole", "iam:GetRole"])
def test_throttling_is_waited_out(shell: Shell, action: str) -> None:
    name = f"slow-{action.partition(':')[2].lower()}"
    if action != "cognito-identity:CreateIdentityPool":
        shell.proxy.throttle[action] = 2
        assert shell("setup", "--env", name, "--yes").code == 0
        assert shell.proxy.count(action) >= 3
        return
    # Not repeated by itself, since it would make a second pool: said, and the next run finishes.
    shell.proxy.throttle[action] = 1
    assert_two_line_error(shell("setup", "--env", name, "--yes"), 5, "no more")
    assert shell("setup", "--env", name, "--yes").code == 0


@pytest.mark.parametrize(
    "action",
    [
        "cognito-identity:CreateIdentityPool",
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "cognito-identity:SetIdentityPoolRoles",
    ],
)
def test_a_lost_answer_doubles_nothing(shell: Shell, stack: RunningStack, action: str) -> None:
    name = f"lost-{action.partition(':')[2].lower()}"
    shell.proxy.lose = action
    first = shell("setup", "--env", name, "--yes")
    assert first.code in {0, 5, 6, 7}, first.stderr
    shell.proxy.lose = None
    assert shell("setup", "--env", name, "--yes").code == 0
    pools = [pool for pool, pool_name in cognito.list_pools(stack.aws()) if pool_name == f"chatops-{name}"]
    assert len(pools) == 1
    assert shell("plan", "--env", name).code == 0


def test_two_setups_at_the_same_time_make_one_pool(shell: Shell, stack: RunningStack) -> None:
    command = ("setup", "--env", "race", "--yes")
    results: list[Finished] = []
    threads = [
        threading.Thread(target=lambda: results.append(chatops(*command, env=dict(os.environ), cwd=shell.folder)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.code for result in results] == [0, 0, 0], results
    pools = [pool for pool, name in cognito.list_pools(stack.aws()) if name == "chatops-race"]
    assert pools == [shell.environment("race").identity_pool_id]
    assert shell("plan", "--env", "race").code == 0
    assert shell("doctor", "--env", "race").code == 0


def test_two_pools_with_the_same_tags_are_refused_and_torn_down(shell: Shell, stack: RunningStack) -> None:
    assert shell("setup", "--env", "pair", "--yes").code == 0
    tags = {"chatops:environment": "pair", "chatops:managed": "true"}
    cognito.create_pool(
        stack.aws(),
        {"IdentityPoolName": "chatops-pair", "AllowUnauthenticatedIdentities": True, "IdentityPoolTags": tags},
    )
    for command in (["plan"], ["status"], ["setup", "--yes"]):
        assert_two_line_error(shell(*command, "--env", "pair"), 3, "2 identity pools")
    assert shell("teardown", "--env", "pair", "--yes").code == 0
    assert not [pool for pool, name in cognito.list_pools(stack.aws()) if name == "chatops-pair"]


def test_titles_that_a_file_could_not_hold_are_refused(shell: Shell) -> None:
    for title in ("", "\x1b[31m", "\udcff"):
        assert shell("setup", "--env", "titled", "--title", title, "--yes").code == 2
    family = "Family 👨\u200d👩\u200d👧"
    assert shell("setup", "--env", "titled", "--title", family, "--yes").code == 0
    assert shell.environment("titled").title == family


def test_a_teardown_that_stops_halfway_is_finished_by_the_next(shell: Shell) -> None:
    assert shell("setup", "--env", "halfway", "--yes").code == 0
    shell.proxy.deny = "iam:DeleteRole"
    stopped = shell("teardown", "--env", "halfway", "--yes")
    assert stopped.code == 7
    assert "iam:DeleteRole" in stopped.stderr
    shell.proxy.deny = None
    assert shell("teardown", "--env", "halfway", "--yes").code == 0


def test_a_teardown_asks_and_nobody_is_there(shell: Shell) -> None:
    assert shell("setup", "--env", "kept", "--yes").code == 0
    assert shell("teardown", "--env", "kept").code == 2
    assert shell("status", "--env", "kept").code == 0


def test_a_teardown_leaves_what_is_not_tagged(shell: Shell, stack: RunningStack) -> None:
    assert shell("setup", "--env", "tagged", "--yes").code == 0
    other = cognito.create_pool(
        stack.aws(),
        {"IdentityPoolName": "chatops-tagged", "AllowUnauthenticatedIdentities": True, "IdentityPoolTags": {}},
    )
    assert shell("teardown", "--env", "tagged", "--yes").code == 0
    assert other.pool_id in dict(cognito.list_pools(stack.aws()))


def test_an_environment_of_another_account_is_refused(shell: Shell) -> None:
    assert shell("setup", "--env", "moved", "--yes").code == 0
    path = shell.folder / "env" / "moved.json"
    document = json.loads(path.read_text())
    document["managed"]["account"] = "999999999999"
    path.write_text(json.dumps(document))
    for command in (["setup", "--yes"], ["plan"], ["status"], ["teardown", "--yes"]):
        assert_two_line_error(shell(*command, "--env", "moved"), 3, "999999999999", "123456789012")
    doctor = shell("doctor", "--env", "moved")
    assert doctor.code == 8
    assert "999999999999" in doctor.stdout


def test_an_environment_of_another_region_is_refused(shell: Shell) -> None:
    assert shell("setup", "--env", "here", "--yes").code == 0
    assert_two_line_error(shell("setup", "--env", "here", "--region", "eu-west-1", "--yes"), 3, "us-east-1")


def test_a_region_that_aws_does_not_have(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert_two_line_error(shell("plan", "--env", "x", "--region", "eu-west-9"), 3, "eu-west-9", "did you mean")


def test_an_unwritable_folder(shell: Shell) -> None:
    (shell.folder / "file").write_text("")
    finished = shell("setup", "--env", "x", "--env-dir", "file/env", "--yes")
    assert finished.code in {3, 7}
    assert "cannot be written" in finished.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1, column 2"),
        ("[]", "no IAM policy"),
        ('{"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps"}]}', "no IAM policy"),
        (json.dumps({"Version": "2012-10-17", "Statement": ["x" * 10_240]}), "10240"),
    ],
)
def test_policy_files_that_cannot_be(shell: Shell, text: str, words: str) -> None:
    (shell.folder / "policy.json").write_text(text)
    assert_two_line_error(shell("setup", "--env", "x", "--policy", "policy.json", "--yes"), 3, words)
    assert writes(shell.proxy) == []


def test_an_operators_own_policy_is_used_and_its_breadth_is_said(shell: Shell, stack: RunningStack) -> None:
    arn = "arn:aws:iot:us-east-1:123456789012"
    broad = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
            {"Effect": "Allow", "Action": ["iot:Receive", "iot:Publish", "iot:RetainPublish"], "Resource": "*"},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{arn}:topicfilter//chat/*"},
        ],
    }
    (shell.folder / "policy.json").write_text(json.dumps(broad))
    made = shell("setup", "--env", "own", "--policy", "policy.json", "--yes")
    assert made.code == 0, made.stderr
    for word in ("may connect as another", "$aws/things", "may publish to elsewhere", "retained"):
        assert word in made.stderr
    found = shell.environment("own")
    assert iam.find_inline_policy(stack.aws(), found.managed["role"], found.managed["policy"]) == broad
    assert shell("plan", "--env", "own", "--policy", "policy.json").code == 0
    assert shell("plan", "--env", "own").code == 0
    assert shell("setup", "--env", "own").code == 0
    assert iam.find_inline_policy(stack.aws(), found.managed["role"], found.managed["policy"]) == broad
    doctor = shell.document("doctor", "--env", "own")
    wrong = {f["check"] for f in doctor["findings"] if f["state"] == "wrong"}  # type: ignore[attr-defined]
    assert "connect as another" in wrong
    assert "publish to $aws/things/chatops-doctor/shadow/update" in wrong
    assert doctor["holds"] is False
    offline = shell("doctor", "--env", "own", "--offline", "--policy", "policy.json")
    assert offline.code == 8
    assert "wrong   connect as another" in offline.stdout
    both = ["--policy", "policy.json", "--least-privilege"]
    assert_two_line_error(shell("setup", "--env", "own", *both), 2, "exclude")
    assert shell("plan", "--env", "own", "--least-privilege").code == 8
    assert shell("setup", "--env", "own", "--least-privilege", "--yes").code == 0
    assert shell("plan", "--env", "own").code == 0
    assert shell("doctor", "--env", "own").code == 0


def test_an_operators_own_policy_that_somebody_changed_is_drift(shell: Shell, stack: RunningStack) -> None:
    own = guest_policy(region="us-east-1", account="123456789012", prefix="/chat/games/")
    (shell.folder / "policy.json").write_text(json.dumps(own))
    assert shell("setup", "--env", "changed", "--policy", "policy.json", "--yes").code == 0
    found = shell.environment("changed")
    wide = guest_policy(region="us-east-1", account="123456789012", prefix="/")
    iam.put_inline_policy(stack.aws(), found.managed["role"], found.managed["policy"], wide)
    status = shell("status", "--env", "changed")
    assert status.code == 8
    assert "not the operator's own document any more" in status.stdout
    assert shell("setup", "--env", "changed", "--yes").code == 0
    assert shell("status", "--env", "changed").code == 0


def test_iam_is_waited_for_and_the_waiting_is_said(shell: Shell) -> None:
    action = "cognito-identity:GetCredentialsForIdentity"
    shell.proxy.refuse[action] = (3, "InvalidIdentityPoolConfigurationException")
    made = shell("setup", "--env", "eventual", "--yes")
    assert made.code == 0, made.stderr
    assert shell.proxy.count(action) == 4
    assert "waiting for IAM" in made.stderr
    assert shell.document("status", "--env", "eventual")["identities"] == 1


def test_doctor_holds_for_a_fresh_environment(shell: Shell) -> None:
    assert shell("setup", "--env", "healthy", "--yes").code == 0
    shell.proxy.actions.clear()
    doctor = shell.document("doctor", "--env", "healthy")
    assert doctor["holds"] is True, doctor
    states = {f["check"]: f["state"] for f in doctor["findings"]}  # type: ignore[attr-defined]
    assert states["connect as another"] == "ok"
    assert states["page"] == "skipped"
    assert writes(shell.proxy) == []
    assert shell("doctor", "--env", "healthy", "--clients", "500").code == 0
    crowded = shell("doctor", "--env", "healthy", "--clients", "600000")
    assert crowded.code == 8
    assert "wrong   quota: concurrent connections" in crowded.stdout
    assert "request-service-quota-increase" in crowded.stdout


def test_doctor_tells_broken_trust_and_a_missing_role(shell: Shell, stack: RunningStack) -> None:
    assert shell("setup", "--env", "sick", "--yes").code == 0
    found = shell.environment("sick")
    nobody = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": "cognito-identity.amazonaws.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"cognito-identity.amazonaws.com:aud": "us-east-1:other"}},
            }
        ],
    }
    iam.set_trust(stack.aws(), found.managed["role"], nobody)
    doctor = shell("doctor", "--env", "sick")
    assert doctor.code == 8
    assert "wrong   log in as a guest" in doctor.stdout
    assert "its trust policy differs" in doctor.stdout
    assert "fix: chatops setup --env sick" in doctor.stdout
    assert shell("setup", "--env", "sick", "--yes").code == 0
    assert shell("doctor", "--env", "sick").code == 0


def test_doctor_without_credentials_still_proves_the_guest(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell("setup", "--env", "poor", "--yes").code == 0
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    doctor = shell.document("doctor", "--env", "poor")
    states = {f["check"]: f["state"] for f in doctor["findings"]}  # type: ignore[attr-defined]
    assert states["account"] == "skipped"
    assert states["connect as itself"] == "ok"


@pytest.mark.parametrize("command", ["setup", "plan", "status", "teardown", "doctor", "describe-endpoint"])
def test_the_permissions_of_a_command_are_what_it_calls(shell: Shell, stack: RunningStack, command: str) -> None:
    name = f"calls-{command}"
    called: set[str] = set()

    def call(*arguments: str) -> None:
        shell.proxy.actions.clear()
        shell(*arguments)
        called.update(shell.proxy.actions)

    options = {"setup": ["--yes"], "teardown": ["--yes"], "doctor": ["--clients", "10"]}.get(command, [])
    if command == "describe-endpoint":
        call(command)
    else:
        if command == "setup":
            call("setup", "--env", name, "--yes")
        else:
            shell("setup", "--env", name, "--yes")
        found = shell.environment(name)
        role = found.managed["role"]
        aws = stack.aws()
        cognito.change_pool(aws, found.identity_pool_id, {"AllowUnauthenticatedIdentities": False})
        iam.set_trust(aws, role, {**_trust("us-east-1:other")})
        iam.put_inline_policy(aws, role, "by-hand", guest_policy(region="us-east-1", account="1", prefix="/"))
        wide = json.dumps(guest_policy(region="us-east-1", account="1", prefix="/"))
        made = aws.call("iam", "create_policy", PolicyName=f"by-hand-{command}", PolicyDocument=wide)
        aws.call("iam", "attach_role_policy", RoleName=role, PolicyArn=made["Policy"]["Arn"])
        if command == "teardown":
            assert shell("site", "publish", "--env", name, "--yes").code == 0
        call(command, "--env", name, *options)
        if command == "setup":
            (shell.folder / "own.json").write_text(
                json.dumps(guest_policy(region="us-east-1", account="1", prefix="/"))
            )
            call("setup", "--env", name, "--policy", "own.json", "--yes")
            call("setup", "--env", name, "--least-privilege", "--yes")
    guests = {"cognito-identity:GetId", "cognito-identity:GetCredentialsForIdentity", "iam:?"}
    needed = called - ALWAYS_ALLOWED - guests - {"cognito-identity:GetServiceQuota"}
    if "cognito-identity:GetServiceQuota" in called:
        needed.add("servicequotas:GetServiceQuota")
    allowed = set(COMMANDS[command])
    assert needed <= allowed
    assert allowed - IMPLIED - RARE.get(command, frozenset()) <= needed


def _trust(audience: str) -> dict[str, object]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": "cognito-identity.amazonaws.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"cognito-identity.amazonaws.com:aud": audience}},
            }
        ],
    }


def test_permissions_are_printed_by_command(shell: Shell) -> None:
    document = json.loads(shell("permissions", "post", "--account", "111122223333").stdout)
    assert document["Statement"] == [
        {"Effect": "Allow", "Action": ["iot:Publish"], "Resource": "arn:aws:iot:*:111122223333:topic//chat/*"}
    ]
    assert_two_line_error(shell("permissions", "tali"), 2, "'tali'")
    assert_two_line_error(shell("permissions", "--account", "abc"), 2, "12 digits")


def test_environments_are_listed_shown_checked_and_chosen(shell: Shell) -> None:
    assert shell("setup", "--env", "dev", "--yes").code == 0
    (shell.folder / "env" / "broken.json").write_text("{")
    listed = shell("env", "list")
    assert "* dev" in listed.stdout
    assert "broken" in listed.stdout
    shown = shell.document("env", "show", "--env", "dev")
    assert shown["region"] == {"value": "us-east-1", "source": "the identity pool's id"}
    assert shown["topicPrefix"] == {"value": "/chat/", "source": "default"}
    assert shown["environment"] == {"value": "dev", "source": "--env"}
    checked = shell("env", "validate")
    assert checked.code == 3
    assert "dev: valid" in checked.stdout
    assert "line 1, column 2" in checked.stdout
    assert shell("env", "use", "dev").stdout == "export CHATOPS_ENV=dev\n"
    assert_two_line_error(shell("env", "use", "nobody"), 3, "'nobody'")


def test_the_target_of_endpoints_in_the_file_is_used_without_the_variable(
    shell: Shell, stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("setup", "--env", "recorded", "--yes").code == 0
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert shell("status", "--env", "recorded").code == 0
    assert Aws(AwsTarget(region="us-east-1", endpoints={"aws": stack.aws_url}, keys=stack.keys())).region == "us-east-1"
