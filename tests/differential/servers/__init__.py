# SPDX-License-Identifier: MIT
"""The servers, one file each: how it is started, and how its own idle timeouts are set."""
from . import gunicorn, haproxy, java, nginx, nodejs, postgresql, redis

ALL = [nginx.Nginx(), nginx.NginxTls(), haproxy.Haproxy(), redis.Redis(), postgresql.Postgresql(),
       gunicorn.Gunicorn(), nodejs.Nodejs(), java.Java()]
