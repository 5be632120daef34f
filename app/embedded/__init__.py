"""The embedded servers: what runs when no servers are configured.

Owns PostgreSQL, Valkey and a mail catcher started from the installed packages, the page that shows caught mail, and the
supervisor that keeps them and the application's own processes running. It knows nothing of the application: `app.cli`
and the tests put it to use. Linux only: children die with their parent by PR_SET_PDEATHSIG.

Everything lives in one data directory (mode 0700):

    lock              held by the supervisor that uses the directory; its pid is inside
    postgres/         the cluster; its superuser's password
    valkey/           the configuration, with the password of the running server
    mail/             caught mail, a Maildir
    log/<name>.log    what each child writes
"""
