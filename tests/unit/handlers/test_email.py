"""E-mail goes through a real mail server: once a run, to those whom the row names."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mail_server import serving

from listener.clock import DatabaseClock
from listener.domain.outcome import Completed, Failed
from listener.handlers.email import MAX_RECIPIENTS, email
from listener.smtp_url import MailServer
from listener.testing import NOON, run_handler

if TYPE_CHECKING:
    from pathlib import Path

MAIL = {"to": "ada@example.com", "subject": "Hello", "text": "How are you?"}


async def sent(payload: dict[str, Any], url: str, deliveries: Any = None, **changes: Any) -> Any:
    """Run the handler once; give its outcome."""
    options = {"smtp_url": url, **changes.pop("options", {})}
    return (await run_handler(email, payload, options=options, client=deliveries, **changes)).outcome


async def test_a_mail_arrives_as_the_row_says(inbox, url, deliveries):
    """With all its recipients, of whom the hidden ones are in no header, and texts beyond ASCII."""
    payload = {
        "to": ["Ada@Example.com", "bob@büro.example"],
        "cc": "cy@example.com",
        "bcc": ["dora@example.com"],
        "reply_to": "office@example.com",
        "subject": "Grüße, ☃",
        "text": "Wie geht es?\n",
        "html": "<p>Wie <b>geht</b> es?</p>",
    }
    outcome = await sent(payload, url, deliveries, options={"smtp_from": "Jobs <jobs@example.org>"})
    recipients = ["Ada@example.com", "bob@büro.example", "cy@example.com", "dora@example.com"]
    assert isinstance(outcome, Completed)
    assert outcome.result["recipients"] == recipients
    assert outcome.result["refused"] == {}
    ((envelope, message),) = inbox.mails
    assert len(envelope) == len(recipients)
    assert message["From"] == "Jobs <jobs@example.org>"
    assert message["Subject"] == "Grüße, ☃"
    assert message["Reply-To"] == "office@example.com"
    assert "dora" not in message.as_string()
    assert message["Message-ID"] == outcome.result["message_id"] == "<1.2026-01-05T12.00.00.00.00@example.org>"
    assert message.get_body(("plain",)).get_content().strip() == "Wie geht es?"
    assert "<b>geht</b>" in message.get_body(("html",)).get_content()


async def test_attempts_have_one_message_id_and_other_due_instants_another(inbox, url, deliveries):
    """So that a receiver recognises a repetition."""
    for changes in ({}, {"attempt": 2}, {"scheduled_for": NOON + timedelta(days=1)}):
        deliveries.forget()
        await sent(MAIL, url, deliveries, **changes)
    first, second, third = (message["Message-ID"] for _, message in inbox.mails)
    assert first == second != third


async def test_what_an_attempt_has_sent_the_next_one_does_not_send_again(inbox, url, deliveries):
    """Its receipt is the result."""
    first = await sent(MAIL, url, deliveries)
    second = await sent(MAIL, url, deliveries, attempt=2)
    assert first == second
    assert len(inbox.mails) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("451 try again later", ("retry", True)),
        ("554 no", ("smtp_554", False)),
        ("550 5.7.1 spam", ("smtp_550", False)),
    ],
)
async def test_the_servers_answer_decides_whether_it_is_tried_again(inbox, url, answer, outcome):
    """4xx is, 5xx is not."""
    inbox.answer = answer
    failed = await sent(MAIL, url)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.retryable) == outcome
    assert answer[4:] in failed.error


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["550 unknown"], ("smtp_550", False)),
        (["450 busy"], ("retry", True)),
        (["550 unknown", "450 busy"], ("retry", True)),
    ],
)
async def test_refused_recipients_fail_the_run_only_if_none_is_left(inbox, url, codes, expected):
    """Where all are refused, one of them for now, it is tried again."""
    addresses = [f"r{number}@example.com" for number in range(len(codes))]
    inbox.refused = dict(zip(addresses, codes, strict=True))
    failed = await sent({**MAIL, "to": addresses}, url)
    assert (failed.reason, failed.retryable) == expected
    taken = await sent({**MAIL, "to": [*addresses, "ada@example.com"]}, url)
    assert taken.result["refused"] == inbox.refused
    assert inbox.mails[-1][0] == ["ada@example.com"]


async def test_a_server_that_is_not_there_is_tried_again():
    """The message names it."""
    failed = await sent(MAIL, "smtp://127.0.0.1:9")
    assert (failed.reason, failed.retryable) == ("retry", True)
    assert "127.0.0.1" in failed.error


async def test_without_a_server_the_run_says_what_to_set():
    """No attempt helps."""
    failed = (await run_handler(email, MAIL)).outcome
    assert (failed.reason, failed.retryable) == ("not_configured", False)
    assert "LISTENER_SMTP_URL" in failed.error


async def test_in_test_mode_nothing_is_sent(inbox, url):
    """The result says what would be."""
    outcome = await sent(MAIL, url, test_mode=True)
    assert outcome.result["would_send"] == {
        "recipients": ["ada@example.com"],
        "subject": "Hello",
        "text": "How are you?",
    }
    assert inbox.mails == []


def certificate(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Make a certificate of localhost that signs itself; gives its file, and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = DatabaseClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    both = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return str(both), context


def accept_ada(_: SMTP, __: Session, ___: Envelope, ____: str, data: Any) -> AuthResult:
    """Know one user."""
    return AuthResult(success=(data.login, data.password) == (b"ada", b"p@ss word"), handled=False)


async def test_credentials_go_over_an_encrypted_connection(inbox, tmp_path, monkeypatch):
    """The server demands STARTTLS before a user."""
    file, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", file)
    options = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": accept_ada}
    with serving(inbox, **options) as address:
        port = address.rpartition(":")[2]
        assert isinstance(await sent(MAIL, f"smtp://ada:p%40ss%20word@localhost:{port}"), Completed)
        refused = await sent(MAIL, f"smtp://ada:wrong@localhost:{port}")
        plain = await sent(MAIL, f"smtp://ada:p%40ss%20word@localhost:{port}?starttls=never")
    assert inbox.encrypted == [True]
    assert (refused.reason, refused.retryable) == ("smtp_535", False)
    assert isinstance(plain, Failed)
    assert "p@ss" not in f"{refused}{plain}"


async def test_a_server_may_speak_tls_from_the_start(inbox, tmp_path, monkeypatch):
    """An unknown certificate is refused."""
    file, context = certificate(tmp_path)
    with serving(inbox, ssl_context=context) as address:
        url = f"smtps://localhost:{address.rpartition(':')[2]}"
        assert isinstance(await sent(MAIL, url), Failed)
        monkeypatch.setenv("SSL_CERT_FILE", file)
        assert isinstance(await sent(MAIL, url), Completed)
    assert inbox.encrypted == [True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"to": "nobody"}, "metadata.to"),
        ({"to": []}, "metadata.to"),
        ({"to": "a@example.com\r\nBcc: all@example.com"}, "metadata.to"),
        ({"subject": "x\r\nBcc: all@example.com"}, "metadata.subject"),
        ({"subject": None}, "needs subject and text or html, or a template"),
        ({"text": None}, "needs subject and text or html, or a template"),
        ({"template": "welcome"}, "either text and html, or a template"),
        ({"to": [f"r{number}@example.com" for number in range(MAX_RECIPIENTS + 1)]}, "51 recipients"),
        ({"from": "boss@example.com"}, "metadata.from"),
        ({"attachments": []}, "metadata.attachments"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_payload_that_makes_no_mail_is_refused_by_name(url, change, message):
    """Before anything is sent."""
    failed = await sent({**MAIL, **change}, url)
    assert (failed.reason, failed.retryable) == ("invalid_payload", False)
    assert message in failed.error


async def test_names_in_the_texts_of_a_row_become_values_and_nothing_else_does(inbox, url):
    """Neither expressions nor statements have a meaning there, and values are escaped in HTML."""
    text = "Hi {{ name }}, {{ 7 * 7 }} {% for x in y %} {{ name.upper() }} {{name}}"
    payload = {"to": "ada@example.com", "subject": "For {{ name }}", "html": f"<p>{text}</p>", "text": text}
    await sent({**payload, "values": {"name": "<Ada>"}}, url)
    ((_, message),) = inbox.mails
    assert message["Subject"] == "For <Ada>"
    written = message.get_body(("plain",)).get_content()
    assert written.strip() == "Hi <Ada>, {{ 7 * 7 }} {% for x in y %} {{ name.upper() }} <Ada>"
    assert "Hi &lt;Ada&gt;," in message.get_body(("html",)).get_content()
    failed = await sent({**payload, "values": {"nom": "Ada"}}, url)
    assert (failed.reason, failed.retryable) == ("invalid_template", False)
    assert "{{ name }} has no value; there are nom" in failed.error


@pytest.fixture
def templates(tmp_path: Path) -> dict[str, str]:
    """Give the options of a folder of templates."""
    texts = {
        "welcome.subject.txt": "Welcome, {{ name }}\n",
        "welcome.txt": "{% for book in books %}- {{ book }}\n{% endfor %}",
        "welcome.html": "<ul>{% for book in books %}<li>{{ book }}</li>{% endfor %}</ul>",
        "untitled.txt": "{{ name }}",
        "huge.txt": "{{ 'x' * times }}",
        "power.txt": "{{ 9 ** times }}",
        "escape.txt": "{{ name.__class__.__mro__ }}",
        "endless.txt": "{% for a in range(times) %}{% endfor %}",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return {"template_folder": str(tmp_path)}


async def test_a_template_of_the_operator_makes_subject_text_and_html(inbox, url, templates):
    """With all that Jinja2 has."""
    payload = {"to": "ada@example.com", "template": "welcome", "values": {"name": "Ada", "books": ["A & B", "C"]}}
    await sent(payload, url, options=templates)
    ((_, message),) = inbox.mails
    assert message["Subject"] == "Welcome, Ada"
    assert message.get_body(("plain",)).get_content().splitlines() == ["- A & B", "- C"]
    assert message.get_body(("html",)).get_content().strip() == "<ul><li>A &amp; B</li><li>C</li></ul>"


@pytest.mark.parametrize(
    ("template", "values", "message"),
    [
        ("welcome", {"name": "Ada"}, "'books' is undefined"),
        ("untitled", {"name": "Ada"}, "metadata.subject: is required"),
        ("nothing", {}, "there is no 'nothing'"),
        ("../welcome", {}, "there is no '../welcome'"),
        ("huge", {"times": 10**9}, "must be at most"),
        ("power", {"times": 10**9}, "not allowed"),
        ("escape", {"name": "Ada"}, "SecurityError"),
        ("endless", {"times": 10**9}, "OverflowError"),
    ],
)
async def test_a_template_that_cannot_be_filled_fails_with_the_reason(url, templates, template, values, message):
    """However large the values of the row."""
    subject = {} if template in {"welcome", "untitled"} else {"subject": "x"}
    payload = {"to": "ada@example.com", "template": template, "values": values, **subject}
    failed = await sent(payload, url, options=templates)
    assert (failed.reason, failed.retryable) == ("invalid_template", False)
    assert message in failed.error


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", MailServer("mail.example.com", 587, None, None, use_tls=False, start_tls=None)),
        ("smtp://u:p%40@h:25?starttls=never", MailServer("h", 25, "u", "p@", use_tls=False, start_tls=False)),
        ("smtp://h?starttls=always", MailServer("h", 587, None, None, use_tls=False, start_tls=True)),
        ("smtps://u%40x.org:p@h", MailServer("h", 465, "u@x.org", "p", use_tls=True, start_tls=False)),
    ],
)
def test_a_servers_url_is_read(url, server):
    """Ports are those of the scheme."""
    assert MailServer.of(url) == server


@pytest.mark.parametrize("url", ["", "mail.example.com", "http://h", "smtp://", "smtp://h:port", "smtp://h?tls=1"])
def test_a_url_of_no_server_is_refused(url):
    """By name, without the password that it may hold."""
    with pytest.raises(ValueError, match=r"smtp://user:password@host:587|Port could not be cast"):
        MailServer.of(url)


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("smtps://u%40x.org:p@h", "u@x.org"),
        ("smtp://u@mail.x.org", "jobs@mail.x.org"),
        ("smtp://[::1]", "jobs@localhost"),
    ],
)
def test_mail_has_a_sender_also_where_none_is_set(url, sender):
    """The server's user, if that is an address."""
    assert MailServer.of(url).sender() == sender
