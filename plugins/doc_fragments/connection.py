# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How to reach the target; the source is in a fragment of its own."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules."""

    DOCUMENTATION = r"""
options:
  login_user:
    description:
      - Account on the target.
      - O(login_user) and the options after it that begin with C(login_) name the B(target), the server that is compared
        and repaired. The module runs on the target's host, or anywhere that reaches both servers.
    type: str
  login_password:
    description:
      - Password of O(login_user).
      - Without it the environment variable E(MYSQL_REPL_LOGIN_PASSWORD) of the host where the module runs is used.
      - "Take one of at least 8 characters: Ansible masks a password wherever it occurs in a result, in rows shown too."
    type: str
  login_host:
    description:
      - Address of the target.
      - Without it the C(host) of the O(config_file) counts, and V(localhost) after that. Always reached by TCP.
    type: str
  login_port:
    description:
      - Port of the target.
      - Without it the C(port) of the O(config_file) counts, and V(3306) after that.
    type: int
  login_unix_socket:
    description:
      - Socket of the target. It beats O(login_host).
    type: path
  config_file:
    description:
      - MySQL option file on the host where the module runs. Its section C([client]) is read for C(user), C(password),
        C(host), C(port), C(socket), C(ssl-ca), C(ssl-cert) and C(ssl-key). Whatever is given as an option beats it.
      - The default file may be missing, another one may not. An empty string reads no file.
    type: path
    default: ~/.my.cnf
  connect_timeout:
    description:
      - Seconds to wait for a connection.
    type: int
    default: 30
  ca_cert:
    description:
      - Path of the certificate of the authority that signed the server's certificate. With it the server's certificate
        is verified; without any of the TLS options the connection uses TLS where the server offers it, unverified.
    type: path
    aliases: [ssl_ca]
  client_cert:
    description:
      - Path of the client's certificate.
    type: path
    aliases: [ssl_cert]
  client_key:
    description:
      - Path of the client's private key.
    type: path
    aliases: [ssl_key]
  check_hostname:
    description:
      - Whether the name in the server's certificate must be the one that was connected to.
      - Without it the name is checked when O(ca_cert) is given.
    type: bool
requirements:
  - Python 3.9 or newer on the host where the module runs
  - PyMySQL 1.0.2 or newer there
  - cryptography there, where the server's authentication needs it (C(caching_sha2_password) without TLS)
"""
