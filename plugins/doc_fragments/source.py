# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How to reach the source, where what the target's replication says of it does not do."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules."""

    DOCUMENTATION = r"""
options:
  source:
    description:
      - How to reach the B(source), the server whose copy is right.
      - Left out, the source is the server that the target replicates from, at the address in the target's replication
        status, with the target's login. Each key given here overrides what was found or inherited. That is needed where
        the address is another one from here (NAT, tunnels, sockets) or the login differs.
      - Whatever the address, the server behind it must be the one that the target replicates from, by its C(server_id)
        and UUID. Otherwise the module refuses to run.
    type: dict
    suboptions:
      login_user:
        description: Account on the source.
        type: str
      login_password:
        description:
          - Password of O(source.login_user).
          - Without it the environment variable E(MYSQL_REPL_SOURCE_LOGIN_PASSWORD) of the host where the module runs is
            used.
        type: str
      login_host:
        description: Address of the source.
        type: str
      login_port:
        description: Port of the source.
        type: int
      login_unix_socket:
        description: Socket of the source. It beats O(source.login_host).
        type: path
      config_file:
        description:
          - MySQL option file for the source's login. Without it the target's login is inherited, also where that came
            from a file.
        type: path
      connect_timeout:
        description: Seconds to wait for a connection.
        type: int
      ca_cert:
        description: Path of the certificate of the authority that signed the source's certificate.
        type: path
        aliases: [ssl_ca]
      client_cert:
        description: Path of the client's certificate.
        type: path
        aliases: [ssl_cert]
      client_key:
        description: Path of the client's private key.
        type: path
        aliases: [ssl_key]
      check_hostname:
        description: Whether the name in the source's certificate must be the one that was connected to.
        type: bool
  channel:
    description:
      - Replication channel (MySQL) or connection name (MariaDB) by which the target replicates from the source.
      - Needed only where the target has more than one. Two quotes (V('')) name the nameless one.
    type: str
"""
