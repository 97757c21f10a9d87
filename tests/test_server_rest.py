"""The end points of the server extension, and its events: whose kernels they show, what they take, what they say."""

import json
import os
import re
import signal
import urllib.error
import urllib.parse
import urllib.request
import uuid
from http.cookiejar import CookieJar

import pytest

pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")

from jsonschema import Draft202012Validator

from remote_kernel_provider.jupyter.server.handlers import HANDLERS, openapi
from remote_kernel_provider.testing.waiting import until

KEYWORDS = {
    *("$ref", "type", "description", "default", "format", "items"),
    *("properties", "required", "additionalProperties", "maxProperties"),
}
METHODS = ("get", "post", "put", "patch", "delete")
FOR_EVER = {"phase": "pulling", "message": "1 of 5 layers"}
REFUSED = {"reason": "ImagePullBackOff", "message": "there is no image 'nowhere/x' at /srv/images; mend its name"}
SECRET = "a-secret-of-the-servers-environment"
MODULE = '''
from jupyter_server.auth import Authorizer, IdentityProvider, User

class ByHeader(IdentityProvider):
    """Believes what a request says of its user; whoever says nothing, and has no token, has not logged in."""

    def get_user(self, handler):
        headers = handler.request.headers
        name = headers.get("X-User") or ("operator" if "Authorization" in headers else "")
        handler._token_authenticated = True
        return User(name) if name else None

class ReaderReads(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return user.username != "reader" or (action == "read" and resource == "kernels")
'''
CONFIG = """
c.ServerApp.identity_provider_class = "users_of_tests.ByHeader"
c.ServerApp.authorizer_class = "users_of_tests.ReaderReads"
"""


class Client:
    """A client of one user; the answers that it gets follow the OpenAPI file, and are kept."""

    def __init__(self, staged, **headers: str) -> None:
        self.staged = staged
        self.answers: list[str] = []
        self._headers = headers

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, object]:
        """Return the status and the document of an answer of ours."""
        status, document = self.send(method, f"remote-kernels/{path}", body, **headers)
        self._check(method.lower(), path, status, document)
        return status, document

    def send(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, object]:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.staged.server.url}/{path}", data, {**self._headers, **headers}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as refusal:
            status, text = refusal.code, refusal.read().decode()
        self.answers.append(text)
        return status, json.loads(text) if text else None

    def get(self, path: str):
        status, document = self.ask("GET", path)
        assert status == 200, document
        return document

    def start(self, name: str, **body: object) -> str:
        status, document = self.send("POST", "api/kernels", {"name": name, **body})
        assert status == 201, document
        return document["id"]

    def ids(self) -> set[str]:
        return {kernel["id"] for kernel in self.get("kernels")["kernels"]}

    def _check(self, method: str, path: str, status: int, document: object) -> None:
        described = openapi()
        template = next(t for t, _ in HANDLERS if re.fullmatch(re.sub(r"{\w+}", "[^/]+", t), "/" + path.split("?")[0]))
        response = described["paths"][template][method]["responses"][str(status)]
        if "$ref" in response:
            response = described["components"]["responses"][response["$ref"].rpartition("/")[2]]
        if "content" not in response:
            assert document is None
            return
        schema = response["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": described["components"]}).validate(document)


class Events:
    """A subscriber of a server's events; a context manager."""

    def __init__(self, staged, **headers: str) -> None:
        import websocket

        url = f"{staged.server.url.replace('http', 'ws')}/api/events/subscribe"
        self._socket = websocket.create_connection(url, header=[f"{k}: {v}" for k, v in headers.items()], timeout=30)
        self.texts: list[str] = []

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def until(self, action: str, kernel_id: str, message: str | None = None) -> list[dict]:
        """Return all events of a kernel up to one."""
        found: list[dict] = []
        while not found or found[-1]["action"] != action or message not in (None, found[-1]["message"]):
            self.texts.append(self._socket.recv())
            event = json.loads(self.texts[-1])
            if event["schema_id"].startswith("https://remote-kernel-provider.dev/") and event["kernel_id"] == kernel_id:
                found.append(event)
        return found


def of_token(staged) -> dict[str, str]:
    return {"Authorization": f"token {staged.server.token}"}


@pytest.fixture
def client(staged) -> Client:
    return Client(staged, **of_token(staged))


@pytest.fixture
def events(staged):
    with Events(staged, **of_token(staged)) as events:
        yield events


@pytest.fixture
def clean(staged):
    """Fail when a test leaves a kernel."""
    yield
    end_all(staged)


def end_all(staged) -> None:
    for kernel_id in staged.listed():
        staged.delete(kernel_id)
    print(staged.server.log_tail())
    staged.home.assert_nothing_left()


def schema_of(staged, name: str, **properties: object) -> str:
    """Give a kernel spec a schema of its parameters."""
    for file in ("local_kernel.json", "kernel.json"):
        path = staged.home.specs / name / file
        document = json.loads(path.read_text())
        document["metadata"]["parameters"] = {"type": "object", "properties": properties}
        path.write_text(json.dumps(document))
    return name


def test_the_openapi_file_describes_what_is_registered_and_nothing_else():
    registered = {
        (path, method)
        for path, handler in HANDLERS
        for method in METHODS
        if method in vars(handler)  # the base class answers the others with 405
    }
    described = {(path, method) for path, item in openapi()["paths"].items() for method in METHODS if method in item}
    assert described == registered


def test_every_object_of_the_openapi_file_is_a_json_schema_and_says_what_it_is_for():
    described = openapi()["components"]["schemas"]
    for name, schema in described.items():
        Draft202012Validator.check_schema(schema)
        assert set(schema.get("required", ())) <= set(schema.get("properties", ())), name
        for field, rule in schema.get("properties", {}).items():
            # A comma that was not quoted makes keys of its own.
            assert set(rule) <= KEYWORDS, (name, field)


@pytest.mark.slow
@pytest.mark.usefixtures("clean")
class TestForm:
    def test_the_schema_has_the_specs_own_values_as_defaults(self, staged, client):
        name = schema_of(staged, staged.add(), memory={"type": "string"}, launch_timeout={"type": "number"})
        file = staged.home.specs / name / "local_kernel.json"
        document = json.loads(file.read_text())
        document["metadata"]["lifecycle_manager"]["config"]["launch_timeout"] = 44
        file.write_text(json.dumps(document))
        form = client.get(f"specs/{name}/parameters")
        assert form["kernel"] == f"local/{name}"
        assert form["schema"]["properties"]["launch_timeout"] == {"type": "number", "default": 44}
        assert form["schema"]["properties"]["memory"] == {"type": "string"}

    def test_values_reach_the_kernel_once_and_at_its_restarts(self, staged, client):
        name, kernel_id = staged.add(), str(uuid.uuid4())
        posted = {"name": name, "parameters": {"memory": "4Gi", "color": ["red", 1]}}
        assert client.ask("POST", f"launches/{kernel_id}", posted)[0] == 201
        session = {"path": "a.ipynb", "name": "", "type": "notebook", "kernel": {"name": name, "id": kernel_id}}
        status, document = client.send("POST", "api/sessions", session)
        assert (status, document["kernel"]["id"]) == (201, kernel_id)
        ask = "import os\nprint(os.environ['KERNEL_MEMORY'], os.environ['KERNEL_COLOR'])"
        with staged.connect(kernel_id) as kernel:
            assert kernel.run(ask) == '4Gi ["red", 1]'
        staged.post(f"api/kernels/{kernel_id}/restart")
        with staged.connect(kernel_id) as kernel:
            assert kernel.run(ask) == '4Gi ["red", 1]'
        (listed,) = client.get("kernels")["kernels"]
        assert (listed["path"], listed["limits"], listed["here"]) == ("a.ipynb", {"memory": "4Gi"}, True)
        assert client.ask("DELETE", f"kernels/{kernel_id}") == (204, None)
        again = client.start(name, kernel_id=kernel_id)
        with staged.connect(again) as kernel:
            assert kernel.run("import os\nprint('KERNEL_MEMORY' in os.environ)") == "False"

    def test_values_wait_for_the_kernel_for_which_they_were_checked(self, staged, client):
        name, other, kernel_id = staged.add(), staged.add(), str(uuid.uuid4())
        client.ask("POST", f"launches/{kernel_id}", {"name": name})
        status, document = client.send("POST", "api/kernels", {"name": other, "kernel_id": kernel_id})
        assert (status, staged.listed()) == (400, [])
        assert f"are for kernel '{name}'" in " ".join(document["message"].split())

    def test_each_field_is_told_what_is_wrong_with_it(self, staged, client):
        name = schema_of(
            staged,
            staged.add(),
            memory={"type": "string"},
            cpus={"type": "number", "maximum": 4},
            image={"enum": ["a"]},
        )
        values = {"memory": "lots", "CPUS": 5, "image": "b", "namespace": "kube-system", "username": "root"}
        status, document = client.ask("POST", f"launches/{uuid.uuid4()}", {"name": name, "parameters": values})
        assert status == 400
        assert document["message"] in document["errors"].values()
        assert set(document["errors"]) == set(values)
        assert "quantity" in document["errors"]["memory"] or "number" in document["errors"]["memory"]

    def test_the_last_values_are_remembered_privately_and_without_secrets(self, staged, client):
        name = schema_of(
            staged, staged.add(), memory={"type": "string"}, password={"type": "string", "writeOnly": True}
        )
        body = {"name": name, "parameters": {"memory": "2Gi", "password": "hush"}, "remember": True}
        assert client.ask("POST", f"launches/{uuid.uuid4()}", body)[0] == 201
        assert client.get(f"specs/{name}/parameters")["values"] == {"memory": "2Gi"}
        (file,) = (staged.home.root / "data/remote-kernels/values").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert "hush" not in file.read_text()
        assert client.ask("DELETE", f"specs/{name}/parameters") == (204, None)
        assert client.get(f"specs/{name}/parameters")["values"] == {}

    def test_forgotten_values_are_not_used(self, staged, client):
        name, kernel_id = staged.add(), str(uuid.uuid4())
        client.ask("POST", f"launches/{kernel_id}", {"name": name, "parameters": {"memory": "4Gi"}})
        assert client.ask("DELETE", f"launches/{kernel_id}") == (204, None)
        assert client.ask("DELETE", f"launches/{kernel_id}")[0] == 404
        with staged.connect(client.start(name, kernel_id=kernel_id)) as kernel:
            assert kernel.run("import os\nprint('KERNEL_MEMORY' in os.environ)") == "False"

    def test_an_id_in_use_is_refused(self, staged, client):
        name = staged.add()
        kernel_id = client.start(name)
        assert client.ask("POST", f"launches/{kernel_id}", {"name": name})[0] == 409

    @pytest.mark.parametrize("name", ["python3", "no-such", "../../etc", "%2e%2e%2f", "ü" * 2000, "a b", "\udcff"])
    def test_a_name_of_no_kernel_of_ours_is_404(self, client, name):
        quoted = urllib.parse.quote(name, safe="", errors="surrogatepass")
        status, document = client.send("GET", f"remote-kernels/specs/{quoted}/parameters")
        assert status in (400, 404)
        assert "Traceback" not in document["message"]

    def test_malformed_bodies_are_refused_with_a_sentence(self, staged, client):
        name = staged.add()
        nested = "[" * 5000 + "]" * 5000
        for body, status in (
            (b"", 400),
            (b"{", 400),
            (b"\xff\xfe", 400),
            (b"[]", 400),
            (nested.encode(), 400),
            ({"name": 3}, 400),
            ({"name": name, "parameters": []}, 400),
            ({"name": name, "remember": "yes"}, 400),
            ({"name": name, "owner": "root"}, 400),
            ({"name": name, "parameters": {"\ud800": "\udcff" * 10}}, 201),
            ({"name": name, "parameters": {"memory": float("nan")}}, 400),
            ({"name": name, "parameters": {"memory": json.loads("[" * 400 + "]" * 400)}}, 400),
            ({"name": name, "parameters": {f"p{number}": 1 for number in range(101)}}, 400),
            ({"name": name, "parameters": {"note": "x" * 70_000}}, 413),
        ):
            answered, document = client.ask("POST", f"launches/{uuid.uuid4()}", body)
            assert (answered, body) == (status, body)
            assert status == 201 or len(document["message"]) > 20
        for kernel_id in ("x", "..", str(uuid.uuid4()).upper(), "{" + str(uuid.uuid4()) + "}"):
            assert client.ask("POST", f"launches/{kernel_id}", {"name": name})[0] == 400
        for tail in ("0", "-1", "x", "1e3", "99999999999999999999", "\u0663"):
            assert client.ask("GET", f"kernels/x/logs?tail={urllib.parse.quote(tail)}")[0] == 400
        assert client.ask("POST", "sweep", {"dry_run": 1})[0] == 400
        assert client.ask("POST", "sweep", {"note": "x" * 70_000})[0] == 413
        assert client.ask("POST", "kernels/x/adopt", {"force": True})[0] == 400
        assert not staged.server.log_lines("Traceback")


@pytest.mark.slow
@pytest.mark.usefixtures("clean")
class TestLaunches:
    def test_a_launch_is_told_while_it_is_under_way_and_can_be_cancelled(self, staged, client, events):
        steps = [{"phase": "pulling", "message": f"layer {n} of 40", "seconds": 0.05} for n in range(40)]
        name = staged.add(*steps, FOR_EVER)
        kernel_id = client.start(name)
        told = events.until("launching", kernel_id, FOR_EVER["message"])
        (launch,) = client.get("launches")
        assert (launch["id"], launch["name"], launch["message"]) == (kernel_id, name, FOR_EVER["message"])
        assert client.ask("DELETE", f"launches/{kernel_id}") == (204, None)
        told += events.until("cancelled", kernel_id)
        assert client.get("launches") == []
        assert client.ask("DELETE", f"launches/{kernel_id}")[0] == 404
        staged.home.assert_nothing_left(1)
        assert [event["action"] for event in told[:-1]] == ["launching"] * (len(told) - 1)
        assert len(told) < 2.5 * told[-1]["seconds"] + 4  # of twenty steps a second, about two are told

    def test_a_launch_and_a_restart_are_told(self, staged, client, events):
        kernel_id = client.start(staged.add({**FOR_EVER, "seconds": 1}))
        told = events.until("launched", kernel_id)
        assert [(event["action"], event["restart"]) for event in told if event["action"] != "launching"] == [
            ("launched", False)
        ]
        assert told[0]["phase"] == "pending"
        assert "pulling" in {event["phase"] for event in told}
        staged.until_idle(kernel_id)  # else the restart is content with this launch
        staged.post(f"api/kernels/{kernel_id}/restart")
        assert events.until("launched", kernel_id)[-1]["restart"] is True

    def test_a_failure_is_told_to_all_without_its_details_and_in_full_to_its_owner(self, staged, client, events):
        name, kernel_id = staged.add({**FOR_EVER, "seconds": 2.2}, failure=REFUSED), str(uuid.uuid4())
        client.ask("POST", f"launches/{kernel_id}", {"name": name, "parameters": {"note": "nowhere/x"}})
        client.start(name, kernel_id=kernel_id)
        failed = events.until("failed", kernel_id)[-1]
        assert failed["reason"] == REFUSED["reason"]
        assert "there is no image '…' at …; mend its name" in failed["message"]
        assert REFUSED["message"] in client.get(f"kernels/{kernel_id}/logs")["message"]

    def test_a_death_is_told_and_its_output_is_kept(self, staged, client, events):
        kernel_id = client.start(staged.add())
        events.until("launched", kernel_id)
        with staged.connect(kernel_id) as kernel:
            pid = int(kernel.run("import os\nos.write(2, b'the last line\\n')\nprint(os.getpid())"))
            assert client.get(f"kernels/{kernel_id}/logs") == {"logs": "the last line", "message": ""}
            os.kill(pid, signal.SIGKILL)
            died = events.until("died", kernel_id)[-1]
            events.until("launched", kernel_id)
        assert died["restarting"] is True
        assert died["message"] == "its process was ended by signal 9 (SIGKILL)"
        # It runs again; why the one before died is still known.
        until(lambda: client.get(f"kernels/{kernel_id}/logs")["logs"] == "", 5, "the new kernel's output")
        assert client.get(f"kernels/{kernel_id}/logs")["message"] == died["message"]

    def test_a_death_for_good_is_told_once(self, staged, client, events):
        name = staged.add()
        kernel_id = client.start(name)
        events.until("launched", kernel_id)
        with staged.connect(kernel_id) as kernel:
            pid = int(kernel.run("import os\nos.write(2, b'the last line\\n')\nprint(os.getpid())"))
        staged.script(name, failure=REFUSED)
        os.kill(pid, signal.SIGKILL)
        told = [event["action"] for event in events.until("failed", kernel_id)]
        assert [action for action in told if action != "launching"] == ["died", "failed"]
        staged.until_dead(kernel_id)
        assert REFUSED["message"] in client.get(f"kernels/{kernel_id}/logs")["message"]


@pytest.mark.slow
@pytest.mark.usefixtures("clean")
class TestRunning:
    PROGRAM = """
import asyncio, json, os, uuid
from remote_kernel_provider.host import Host
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, Identity
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.provider import load_provider
provider = load_provider("local", Host(load_settings(), {instance!r}))
spec, _ = provider.find({name!r})
request = ClientRequest(str(uuid.uuid4()), Identity({user!r}, "system"), {{"color": ["red", 1]}})
manager = PRIVATE_LOOP.run(provider.start(spec, request))
print(manager.kernel_id, flush=True)
os._exit(0)  # without any clean-up, as if it were killed
"""

    @classmethod
    def left(cls, staged, name: str, user: str = "", instance: str = "") -> str:
        """Let a program of a user die, and leave a kernel; return its id."""
        from remote_kernel_provider.host import system_identity

        site = str(staged.home.root / "site")
        code = cls.PROGRAM.format(name=name, user=user or system_identity().user, instance=instance)
        return staged.home.python(code, env={"PYTHONPATH": site}).stdout.strip()

    def test_what_a_dead_program_left_is_adopted_with_its_values(self, staged, client):
        kernel_id = self.left(staged, staged.add())
        (listed,) = client.get("kernels")["kernels"]
        assert (listed["id"], listed["here"], listed["owner_alive"]) == (kernel_id, False, False)
        assert re.fullmatch(r"pid \d+ on .+", listed["where"])
        status, adopted = client.ask("POST", f"kernels/{kernel_id}/adopt")
        assert (status, adopted["here"], adopted["owner_alive"]) == (200, True, True), adopted
        assert adopted["owner"]["instance"].startswith("server-")
        color = "import os\nprint(os.environ['KERNEL_COLOR'])"
        with staged.connect(kernel_id) as kernel:
            assert kernel.run(color) == '["red", 1]'
        assert client.ask("POST", f"kernels/{kernel_id}/adopt")[0] == 409
        staged.post(f"api/kernels/{kernel_id}/restart")
        with staged.connect(kernel_id) as kernel:
            assert kernel.run(color) == '["red", 1]'

    def test_a_living_programs_kernel_is_listed_and_stopped_and_not_adopted(self, staged, client, monkeypatch):
        from remote_kernel_provider.testing.other_host import OtherHost

        for variable, value in {**staged.home.variables, "PYTHONPATH": str(staged.home.root / "site")}.items():
            monkeypatch.setenv(variable, value)
        with OtherHost("local", staged.add()) as other:
            kernel_id = other.resource().kernel_id
            (listed,) = client.get("kernels")["kernels"]
            assert (listed["owner_alive"], listed["execution_state"]) == (True, None)
            status, document = client.ask("POST", f"kernels/{kernel_id}/adopt")
            assert (status, "its program lives" in document["message"]) == (409, True)
            assert client.ask("DELETE", f"kernels/{kernel_id}") == (204, None)
            assert client.ids() == set()

    def test_a_sweep_takes_what_dead_programs_left_and_no_server_will_come_back_for(self, staged, client):
        name = staged.add()
        # In this order: a program's first launch sweeps, too.
        mine, waiting, lost = client.start(name), self.left(staged, name, "", "server-1"), self.left(staged, name)
        for dry_run in (True, False):
            status, swept = client.ask("POST", "sweep", {"dry_run": dry_run})
            assert status == 200
            assert [kernel["id"] for kernel in swept["swept"]] == [lost]
            assert [(kernel["id"], kernel["why"] != "") for kernel in swept["kept"]] == [(waiting, True)]
        assert client.ids() == {mine, waiting}
        assert client.ask("DELETE", f"kernels/{waiting}") == (204, None)

    def test_unknown_kernels_are_404(self, client):
        for method, path in (("DELETE", ""), ("GET", "/logs"), ("POST", "/adopt")):
            status, document = client.ask(method, f"kernels/{uuid.uuid4()}{path}")
            assert (status, "look again" in document["message"]) == (404, True)


@pytest.fixture(scope="module")
def users(staged, make_home):
    """A server that knows its users by a header."""
    home = make_home("users")
    (home.root / "site").mkdir()
    (home.root / "site/users_of_tests.py").write_text(MODULE)
    (home.root / "config/jupyter_server_config.py").write_text(CONFIG)
    home.environment["SECRET_OF_THE_SERVER"] = SECRET
    users = type(staged)(home)
    users.server.wait_until_ready()
    yield users
    users.server.stop()


@pytest.fixture
def ann(users) -> Client:
    return Client(users, **{"X-User": "ann"})


@pytest.fixture
def bob(users) -> Client:
    return Client(users, **{"X-User": "bob"})


@pytest.mark.slow
class TestUsers:
    @pytest.fixture(autouse=True)
    def _nothing_left(self, users):
        yield
        end_all(users)

    def test_each_sees_and_touches_only_their_own(self, users, ann, bob):
        name = users.add()
        kernel_id, lost = ann.start(name), TestRunning.left(users, name, "ann")
        assert ann.ids() == {kernel_id, lost}
        assert bob.ids() == set()
        for each in (kernel_id, lost):
            for method, path in (("DELETE", ""), ("GET", "/logs"), ("POST", "/adopt")):
                assert bob.ask(method, f"kernels/{each}{path}")[0] == 404
        swept = {"swept": [], "kept": [], "problems": []}
        assert bob.ask("POST", "sweep", {}) == (200, swept)
        assert ann.ids() == {kernel_id, lost}
        status, adopted = ann.ask("POST", f"kernels/{lost}/adopt")
        assert (status, adopted["owner"]["user"]) == (200, "ann")
        assert bob.ids() == set()

    def test_nobody_uses_cancels_or_sees_anothers_launch(self, users, ann, bob):
        slow, quick, kernel_id = users.add(FOR_EVER), users.add(), str(uuid.uuid4())
        ann.ask("POST", f"launches/{kernel_id}", {"name": quick, "parameters": {"color": "red"}, "remember": True})
        assert bob.ask("POST", f"launches/{kernel_id}", {"name": quick})[0] == 409
        assert bob.ask("DELETE", f"launches/{kernel_id}")[0] == 404
        assert bob.get(f"specs/{quick}/parameters")["values"] == {}
        assert bob.ask("DELETE", f"specs/{quick}/parameters")[0] == 204
        assert ann.get(f"specs/{quick}/parameters")["values"] == {"color": "red"}
        bob.start(quick, kernel_id=kernel_id)
        with Events(users, **{"X-User": "bob"}):
            (listed,) = bob.get("kernels")["kernels"]
        assert listed["owner"]["user"] == "bob"
        bob.ask("DELETE", f"kernels/{kernel_id}")
        under_way = ann.start(slow)
        assert [launch["id"] for launch in ann.get("launches")] == [under_way]
        assert bob.get("launches") == []
        assert bob.ask("DELETE", f"launches/{under_way}")[0] == 404
        assert ann.ask("DELETE", f"launches/{under_way}")[0] == 204

    def test_nothing_is_answered_to_nobody_and_nothing_written_for_a_reader(self, users):
        nobody, reader = Client(users), Client(users, **{"X-User": "reader"})
        name = users.add()
        for template, item in openapi()["paths"].items():
            path = template[1:].replace("{name}", name).replace("{kernel_id}", str(uuid.uuid4()))
            for method in METHODS:
                if method in item:
                    body = {"name": name} if method == "post" else None
                    assert (nobody.ask(method.upper(), path, body)[0], path) == (403, path)
                    status = reader.ask(method.upper(), path, body)[0]
                    assert status == 403 if method != "get" else status in (200, 404)

    def test_no_secret_is_in_any_answer_or_event(self, users, ann):
        name, kernel_id = users.add(), str(uuid.uuid4())
        with Events(users, **{"X-User": "bob"}) as events:
            body = {"name": name, "parameters": {"color": "crimson"}, "remember": False}
            ann.ask("POST", f"launches/{kernel_id}", body)
            ann.start(name, kernel_id=kernel_id)
            events.until("launched", kernel_id)
            connection = users.home.runtime / f"kernel-{kernel_id}.json"
            key = json.loads(connection.read_text())["key"]
            ann.get("kernels")
            ann.get("launches")
            ann.get(f"specs/{name}/parameters")
            ann.get(f"kernels/{kernel_id}/logs")
            with users.connect(kernel_id) as kernel:
                pid = int(kernel.run("import os\nos.write(2, b'the last line')\nprint(os.getpid())"))
            users.script(name, failure={"reason": "Error", "message": "ann's crimson /home/ann/x is missing"})
            os.kill(pid, signal.SIGKILL)
            events.until("failed", kernel_id)
        answers, told = "".join(ann.answers), "".join(events.texts)
        assert len(key) > 20
        assert "died" in told
        for secret in (key, SECRET, users.server.token):
            assert secret not in answers
            assert secret not in told
        for word in ("ann", "crimson", "/home", "the last line"):
            assert not re.search(rf"\b{word}\b", told)


@pytest.mark.slow
def test_a_browser_needs_the_xsrf_token_as_for_stock_end_points(staged):
    jar = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    browser.open(f"{staged.server.url}/api/status?token={staged.server.token}", timeout=30).read()
    browser.open(f"{staged.server.url}/login", timeout=30).read()
    cookies = {cookie.name: cookie.value for cookie in jar}
    request = urllib.request.Request(f"{staged.server.url}/remote-kernels/sweep", b'{"dry_run": true}', method="POST")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        browser.open(request, timeout=30)
    assert refusal.value.code == 403
    request.add_header("X-XSRFToken", cookies["_xsrf"])
    assert browser.open(request, timeout=30).status == 200
