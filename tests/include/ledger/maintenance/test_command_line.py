from include.ledger.maintenance.command_line import main


def test_migrating_creates_the_ledger_and_may_be_repeated(empty_ledger_url, capsys):
    assert main(["migrate", empty_ledger_url]) == 0
    assert main(["migrate", empty_ledger_url]) == 0
    assert "up to date" in capsys.readouterr().out


def test_a_ledger_out_of_reach_is_an_error_that_shows_no_password(capsys):
    assert main(["migrate", "postgres://somebody:hush-hush@127.0.0.1:1/ledger"]) == 1

    said = capsys.readouterr().err
    assert "could not be migrated" in said
    assert "hush-hush" not in said
