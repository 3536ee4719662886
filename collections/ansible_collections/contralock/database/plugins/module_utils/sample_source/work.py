"""Projects and what happens in them: milestones, payments, disputes and talk.

Rows are made in blocks of projects, in the order in which an application would have inserted them. A block knows its
own ids only, so any number of rows takes the same memory.
"""

from __future__ import annotations

from .chance import DAY, iso, number, stamp
from .ddl import TABLES
from .people import CURRENCIES, Row, World
from .traces import PAYMENT_STATUSES, Project, Related, audit_trail_rows, notification_rows, wallet_transaction_rows

PROJECTS_IN_A_BLOCK = 256
# Filled block by block, in this order; the other tables are filled before.
WORK_TABLES = tuple(table for table in TABLES if table not in {"users", "wallets", "arbitrators"})

_CATEGORIES = ("Design", "Development", "Marketing", "Writing", "Consulting", "Other")
_PROJECT_STATUSES = (
    *("DRAFT", "PENDING_ACCEPTANCE", "AWAITING_DEPOSIT", "ACTIVE", "ON_HOLD", "COMPLETED", "CANCELLED", "ARCHIVED") * 3,
    "DISPUTED",
)
_MILESTONE_STATUSES = ("PENDING", "IN_PROGRESS", "SUBMITTED", "REVISION_REQUESTED", "APPROVED", "DISPUTED")
_TRANSACTION_TYPES = (
    *("DEPOSIT", "MILESTONE_RELEASE", "REFUND", "DISPUTE_PAYMENT", "DISPUTE_REFUND", "ADMIN_ADJUSTMENT"),
)
_DISPUTE_STATUSES = (
    *("PENDING_FEE", "PENDING_REVIEW", "SELF_RESOLUTION", "ESCALATED", "IN_ARBITRATION", "AWAITING_OUTCOME"),
    *("IN_MEDIATION", "RESOLVED", "RESOLVED"),
)
_SCHEDULE = '{"autoApproveDays":7,"clientFeePercent":1.9,"freelancerFeePercent":3.6,"totalFeePercent":5.5}'


class Block:
    """The rows of a few hundred projects.

    Args:
        world: The chance, the words and the people.
        counts: Rows for each of ``WORK_TABLES``.
    """

    def __init__(self, world: World, counts: dict[str, int]) -> None:
        self.world = world
        self.rows: dict[str, list[Row]] = {table: [] for table in WORK_TABLES}
        self._projects: list[Project] = []
        self._make_projects(counts)
        for project, count in self._dealt(counts["transactions"], self._projects):
            self._transactions(project, count)
        talking = [project for project in self._projects if project.freelancer is not None]
        for project, count in self._dealt(counts["messages"], talking):
            self._conversation(project, count)
        related = Related(world, self.rows)
        self.rows["notifications"] += notification_rows(world, self._projects, related, counts["notifications"])
        self.rows["wallet_transactions"] += wallet_transaction_rows(world, related, counts["wallet_transactions"])
        self.rows["audit_trails"] += audit_trail_rows(world, related, counts["audit_trails"])

    def _dealt(self, total: int, projects: list[Project]) -> list[tuple[Project, int]]:
        return list(zip(projects, self.world.chance.deal(total, len(projects)), strict=True))

    def _make_projects(self, counts: dict[str, int]) -> None:
        """Projects with their milestones; as many have a freelancer as there are conversations."""
        world, chance = self.world, self.world.chance
        size, talks = counts["projects"], counts["conversations"]
        disputed = chance.chosen(counts["disputes"], talks)
        shares = zip(chance.deal(counts["milestones"], size), chance.chosen(talks, size), strict=True)
        for milestones, engaged in shares:
            project = Project(
                chance.uuid(),
                chance.pick(world.clients),
                chance.pick(world.freelancers) if engaged else None,
                chance.pick(CURRENCIES),
                chance.moment(),
                [chance.uuid() for _ in range(milestones)],
            )
            self._projects.append(project)
            in_dispute = engaged and next(disputed)
            self._project(project, in_dispute)
            if in_dispute:
                self._dispute(project)

    def _project(self, project: Project, in_dispute: bool) -> None:
        chance, prose = self.world.chance, self.world.prose
        budget, done = 0, 0
        for key in project.milestones:
            amount, status = 1000 + chance.below(499_000), chance.pick(_MILESTONE_STATUSES)
            budget += amount
            done += status == "APPROVED"
            self._milestone(project, key, amount, status)
        held = chance.below(budget + 1)
        listed = '","'.join(project.milestones)
        self.rows["projects"].append(
            (
                project.key,
                prose.line(),
                prose.passage(),
                chance.pick(_CATEGORIES),
                budget,
                stamp(project.born + (7 + chance.below(150)) * DAY),
                "DISPUTED" if in_dispute else chance.pick(_PROJECT_STATUSES),
                project.client,
                project.freelancer,
                f'["{listed}"]' if listed else "[]",
                f'{{"completed":{done},"total":{len(project.milestones)}}}',
                f'{{"status":"HELD","totalHeld":{held},"totalReleased":0,"remaining":12.34}}',
                project.currency,
                _SCHEDULE,
                self._activity_log(project),
                stamp(project.born),
                stamp(chance.soon(project.born)),
            )
        )

    def _activity_log(self, project: Project) -> str | None:
        chance, born = self.world.chance, project.born
        if chance.random() < 0.11:
            return None
        entries = [
            f'{{"action":"PROJECT_CREATED","performedBy":"{project.client}",'
            f'"details":{{"title":"{self.world.prose.json_line()}","at":"{iso(born)}"}}}}'
        ]
        if project.freelancer is not None and chance.random() < 0.2:
            entries.append(
                f'{{"action":"INVITATION_ACCEPTED","performedBy":"{project.freelancer}",'
                f'"details":{{"acceptedAt":"{iso(chance.soon(born))}"}}}}'
            )
        return f"[{','.join(entries)}]"

    def _milestone(self, project: Project, key: str, amount: int, status: str) -> None:
        chance, prose, born = self.world.chance, self.world.prose, project.born
        submitted = None if status == "PENDING" else chance.soon(born)
        revised = (
            f'[{{"at":"{iso(chance.soon(born))}","notes":"{prose.json_line()}"}}]' if chance.random() < 0.3 else None
        )
        deliverables = (
            None,
            "[]",
            f'[{{"filename":"döc.pdf","url":"https://files.example.com/x?a=1&b=2","size":{chance.below(10_000_000)}}}]',
        )
        self.rows["milestones"].append(
            (
                key,
                prose.line(),
                prose.passage(),
                amount,
                stamp(born + (7 + chance.below(90)) * DAY),
                prose.passage(),
                project.key,
                status,
                None if submitted is None else stamp(submitted),
                stamp(chance.soon(submitted)) if submitted is not None and status == "APPROVED" else None,
                revised,
                project.currency,
                chance.pick(deliverables),
                stamp(born),
                stamp(chance.soon(born)),
            )
        )

    def _dispute(self, project: Project) -> None:
        chance, prose, key = self.world.chance, self.world.prose, self.world.chance.uuid()
        project.disputes.append(key)
        status = chance.pick(_DISPUTE_STATUSES)
        born = chance.soon(project.born)
        raised_by = project.client if chance.random() < 0.5 or project.freelancer is None else project.freelancer
        analysis = (
            f'{{"confidenceScore":{0.01 + chance.random() * 0.98!r},"keyIssues":["{prose.json_line()}"],'
            f'"reasoning":"{prose.json_line()} {prose.json_line()}"}}'
        )
        resolution = f'{{"decision":"SPLIT","amountToFreelancer":50,"decidedAt":"{iso(chance.soon(born))}"}}'
        appeal = f'{{"appealedBy":"{raised_by}","reason":"{prose.json_line()}"}}'
        self.rows["disputes"].append(
            (
                key,
                project.key,
                chance.pick(project.milestones),
                raised_by,
                prose.passage(),
                "[]",
                status,
                analysis if chance.random() < 0.43 else None,
                self.world.admins[0] if self.world.admins and chance.random() < 0.36 else None,
                chance.pick(self.world.arbitrators) if self.world.arbitrators and chance.random() < 0.5 else None,
                resolution if status == "RESOLVED" else None,
                f'[{{"from":"{raised_by}","text":"{prose.json_line()}"}}]',
                '{"clientFee":0.01,"totalAmount":1e+21}',
                None,
                "[]",
                appeal if len(self.rows["disputes"]) % 10 == 9 else "",
                stamp(born),
                stamp(chance.soon(born)),
            )
        )

    def _transactions(self, project: Project, count: int) -> None:
        chance, prose = self.world.chance, self.world.prose
        for _ in range(count):
            born, amount = chance.soon(project.born), chance.below(10_000_000)
            self.rows["transactions"].append(
                (
                    chance.uuid(),
                    project.key,
                    chance.pick(project.milestones) if project.milestones and chance.random() < 0.67 else None,
                    project.disputes[0] if project.disputes and chance.random() < 0.4 else None,
                    chance.pick(_TRANSACTION_TYPES),
                    -(amount // 20) if chance.random() < 0.05 else amount,
                    project.currency,
                    project.client if chance.random() < 0.82 else None,
                    project.freelancer,
                    chance.pick(PAYMENT_STATUSES),
                    chance.pick(("stripe", "paypal", "crypto")),
                    f"pi_{chance.hex(24)}" if chance.random() < 0.79 else None,
                    self._maybe_line(0.15, 0.13),
                    f'{{"platform":{number(chance.below(1000) / 100)},"paymentProcessor":0.3,"total":1.9}}',
                    stamp(chance.soon(born)) if chance.random() < 0.59 else None,
                    prose.line() if chance.random() < 0.04 else None,
                    f'{{"k":"{prose.json_line()}","ip":"127.0.0.1"}}' if chance.random() < 0.53 else None,
                    stamp(born),
                    stamp(chance.soon(born)),
                )
            )

    def _maybe_line(self, share_null: float, share_empty: float) -> str | None:
        share = self.world.chance.random()
        if share < share_null:
            return None
        return "" if share < share_null + share_empty else self.world.prose.line()

    def _conversation(self, project: Project, count: int) -> None:
        """One conversation and the messages of its project, some of which stand outside of it."""
        chance, key, born = self.world.chance, self.world.chance.uuid(), project.born
        said: list[str] = []
        content = ""
        for left in range(count - 1, -1, -1):
            # The last one is always in the conversation, because the conversation names it.
            inside = left == 0 or chance.random() < 0.9
            born += 1 + chance.below(DAY)
            message = self._message(project, key if inside else None, said, born)
            if inside:
                said.append(message[0])
                content = message[1]
        self.rows["conversations"].append(
            (
                key,
                project.key,
                f'["{project.client}","{project.freelancer}"]',
                chance.below(10),
                said[-1] if said else None,
                content if said else None,
                stamp(born) if said else None,
                chance.pick(("ACTIVE", "ARCHIVED", "DELETED")),
                int(chance.random() < 0.07),
                stamp(project.born),
                stamp(born),
            )
        )

    def _message(self, project: Project, conversation: str | None, said: list[str], born: int) -> tuple[str, str]:
        """One message; answers only what was said in the same conversation. Returns its key and content."""
        chance, key, content, sent = (
            self.world.chance,
            self.world.chance.uuid(),
            self.world.prose.passage(),
            stamp(born),
        )
        by_client = chance.random() < 0.5
        people = (project.client, project.freelancer)
        self.rows["messages"].append(
            (
                key,
                project.key,
                conversation,
                people[not by_client],
                "client" if by_client else "freelancer",
                content,
                chance.pick(("TEXT", "FILE", "NOTIFICATION")),
                chance.pick(("SENT", "DELIVERED", "READ")),
                int(chance.random() < 0.04),
                chance.pick(said) if said and conversation and chance.random() < 0.22 else None,
                '[{"name":"a b.png"}]' if chance.random() < 0.1 else None,
                f'["{people[by_client]}"]' if chance.random() < 0.49 else "[]",
                sent,
                stamp(chance.soon(born)) if chance.random() < 0.5 else None,
                sent,
                stamp(chance.soon(born)),
            )
        )
        return key, content
