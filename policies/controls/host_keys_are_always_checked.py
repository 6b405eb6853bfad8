"""NC-03: nobody is spoken to over SSH whose host key is not vouched for.

Circular 06/2026/TT-BKHCN, annex I, 1đ and 2đ: terminal equipment is managed over an authenticated and encrypted
channel. A client that accepts any key authenticates nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from inventories.model import Text
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard
from policies.observed import NodeObservation

_VALUE = (
    r"""["'\]]*\s*[,:=]?\s*["']?"""  # what stands between a setting's name and its value in ini, YAML, Python, shell
)
CARELESS = (
    re.compile(rf"host_key_checking{_VALUE}(false|no|off|0)\b", re.IGNORECASE),  # Ansible
    re.compile(rf"StrictHostKeyChecking{_VALUE}(no|off|accept-new|ask)\b", re.IGNORECASE),  # OpenSSH, ssh_config(5)
    re.compile(rf"(User|Global)KnownHostsFile{_VALUE}/dev/null", re.IGNORECASE),
    re.compile(r"\bknown_hosts\s*=\s*None\b"),  # asyncssh
    re.compile(r"\b(AutoAdd|Warning)Policy\b"),  # paramiko
)
SSH_FOLDER = "/etc/ssh/"


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge every file of the toolkit and every file that a node would get."""
    files = {f"file/{path}": (path, text) for path, text in facts.planned.repository.items()}
    for node, rendered in facts.planned.node_files.items():
        files |= {f"file/{node}:{path}": (f"{node}:{path}", text) for path, text in rendered.items()}
    careless = {subject: (path, text) for subject, (path, text) in files.items() if _lines(text)}
    for subject, (path, text) in careless.items():
        for line, said in _lines(text):
            yield failed(
                subject,
                en=f"accepts unknown host keys: {said!r}",
                vi=f"chấp nhận khóa máy chủ lạ: {said!r}",
                where=f"{path}:{line}",
                remedy_en="leave the check on, and trust the declaration's SSH authority (@cert-authority) instead",
                remedy_vi="giữ nguyên kiểm tra, và tin cậy cơ quan chứng thực SSH của khai báo (@cert-authority)",
            )
    if files and not careless:
        yield passed(
            "file/all",
            en=f"none of {len(files)} files lets an unknown host key pass",
            vi=f"không tệp nào trong {len(files)} tệp chấp nhận khóa máy chủ lạ",
        )


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge that each node still holds the SSH configuration that the plan proved lawful."""
    for node in facts.nation.nodes:
        subject = f"node/{node.name}"
        seen = facts.observed.nodes.get(node.name)
        if not isinstance(seen, NodeObservation):
            yield unheard(subject, seen)
            continue
        changed = sorted({item.path for item in seen.differences if item.path.startswith(SSH_FOLDER)})
        if not changed:
            yield passed(subject, en="holds the planned SSH configuration", vi="giữ đúng cấu hình SSH", where=node.name)
            continue
        yield failed(
            subject,
            en=f"its SSH configuration is not the planned one: {', '.join(changed)}",
            vi=f"cấu hình SSH khác với kế hoạch: {', '.join(changed)}",
            where=f"{node.name}:{changed[0]}",
            remedy_en="see `cgc drift`, then `cgc converge --apply`",
            remedy_vi="xem `cgc drift`, rồi chạy `cgc converge --apply`",
        )


def _lines(text: str) -> list[tuple[int, str]]:
    return [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if any(pattern.search(line) for pattern in CARELESS)
    ]


CONTROL = Control(
    id="NC-03",
    title=Text(vi="Khóa máy chủ luôn được kiểm tra", en="Host keys are always checked"),
    citation=Citation(
        document="Circular 06/2026/TT-BKHCN",
        article="annex I, 1đ and 2đ",
        duty=Text(
            vi="quản trị thiết bị đầu cuối qua kênh có xác thực và mã hóa",
            en="equipment is managed over an authenticated and encrypted channel",
        ),
        reading=Reading.TEXT,
    ),
    see_also=(
        Citation(
            document="TCVN 14423:2026",
            article="6.12.2.4a-b",
            duty=Text(vi="chỉ dùng giao thức quản trị an toàn", en="only secure management protocols are used"),
            reading=Reading.SECOND_HAND,
        ),
    ),
    in_force_from=date(2026, 3, 30),
    planned=judge_planned,
    observed=judge_observed,
)
