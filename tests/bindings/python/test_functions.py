"""What `Node` and `Client` have in common."""

import concurrent.futures
import math

import pytest

import serverledge
from conftest import DEADLINE, eventually


def test_an_answer_is_a_python_value_with_its_times(either):
    answer = either.invoke("divide", {"divisor": 8}, output=True)
    assert answer.result == {"quotient": 12}
    assert answer.output == "called\n"
    assert not answer.warm and answer.init_time > 0
    assert answer.duration > 0 and answer.response_time >= answer.duration
    again = either.invoke("divide")
    assert again.warm and again.init_time == 0 and again.output == ""


def test_a_function_that_raises_gives_its_traceback(either):
    with pytest.raises(serverledge.FunctionError, match="ZeroDivisionError") as raised:
        either.invoke("divide", {"divisor": 0})
    assert raised.value.kind == "raised"
    assert "divide.py" in raised.value.traceback and "Traceback" in str(raised.value)
    assert raised.value.answer.result is None and raised.value.answer.duration > 0


def test_failures_are_exceptions_of_their_own(either, source):
    with pytest.raises(serverledge.NotFound):
        either.invoke("nothing")
    with pytest.raises(serverledge.NotFound):
        either.delete("nothing")
    with pytest.raises(serverledge.NotFound):
        either.prewarm("nothing")
    with pytest.raises(serverledge.NotFound):
        either.poll("nothing")
    with pytest.raises(serverledge.NotFound):
        either.create("other", runtime="cobol", handler="divide.handler", source=source)
    with pytest.raises(serverledge.Exists):
        either.create("divide", handler="divide.handler", source=source)
    with pytest.raises(serverledge.Invalid, match="MemoryMB"):
        either.create("other", handler="divide.handler", source=source, memory=10**6)
    with pytest.raises(serverledge.Invalid, match="Handler"):
        either.create("other", source=source)
    with pytest.raises(serverledge.Error):
        either.create("other", handler="another.handler", source=source)


@pytest.mark.parametrize("params", [{"x": math.nan}, {"x": object()}, [1], "text"])
def test_params_that_are_no_json_object_are_refused_here(either, params):
    with pytest.raises(serverledge.Invalid, match="params"):
        either.invoke("divide", params)


def test_text_of_any_kind_comes_back_as_it_was(either, tmp_path):
    either.create("echo", handler="echo.handler", source=b"def handler(params, context):\n    return params\n")
    params = {"a": 'quo"te\\', "é": "\u2028\x00\x7f", "\U0001f600": [1, 2.5, None, True, {"deep": []}], "big": 2**70}
    assert either.invoke("echo", params).result == params


def test_functions_are_listed_updated_and_deleted(either, source, tmp_path):
    assert either.functions() == ["divide"]
    folder = tmp_path / "two"
    (folder / "inner").mkdir(parents=True)
    (folder / "main.py").write_text("from inner.other import VALUE\ndef handler(params, context):\n    return VALUE\n")
    (folder / "inner" / "other.py").write_text("VALUE = 'of a folder'\n")
    either.update("divide", handler="main.handler", source=folder, memory=64, inputs=[("x", "Int")])
    assert either.invoke("divide").result == "of a folder"
    either.delete("divide")
    assert either.functions() == []
    with pytest.raises(serverledge.NotFound):
        either.invoke("divide")
    with pytest.raises(serverledge.Invalid, match="there is no"):
        either.create("divide", handler="main.handler", source=tmp_path / "missing.py")


def test_a_call_for_later_gives_its_answer_in_time(either):
    later = either.invoke_async("divide", {"divisor": 4})
    assert later.result(timeout=DEADLINE).result == {"quotient": 25}
    assert later.done()
    assert later.result().result == {"quotient": 25}
    assert either.poll(later.id).result == {"quotient": 25}
    assert not later.cancel()
    failing = either.invoke_async("divide", {"divisor": 0})
    with pytest.raises(serverledge.FunctionError):
        failing.result(timeout=DEADLINE)
    with pytest.raises(serverledge.NotFound):
        either.invoke_async("nothing")


def test_a_call_for_later_can_be_waited_for_again(either):
    slow = either.invoke_async("divide", {"seconds": 1})
    with pytest.raises(serverledge.TimedOut):
        slow.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        slow.result(timeout=0)
    assert either.poll(slow.id) is None
    assert slow.result(timeout=DEADLINE).result == {"quotient": 100}


def test_containers_can_be_started_beforehand(either):
    assert either.prewarm("divide", 2) == 2
    assert either.status()["AvailableWarmContainers"]["divide"] == 2
    assert either.invoke("divide").warm


def test_overload_is_a_refusal(either, source):
    either.create("large", handler="divide.handler", source=source, memory=512)
    busy = either.invoke_async("divide", {"seconds": 2})
    eventually(lambda: either.status()["AvailableMemory"] < 512)
    with pytest.raises(serverledge.Refused):
        either.invoke("large", max_response_time=0.05)
    assert busy.result(timeout=DEADLINE).result == {"quotient": 100}


def test_many_threads_call_at_the_same_time(either):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: either.invoke("divide", {"divisor": n % 7 + 1}).result, range(200)))
    assert answers == [{"quotient": 100 // (n % 7 + 1)} for n in range(200)]
