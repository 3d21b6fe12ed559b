# SPDX-License-Identifier: MIT
"""Certificates, made by the openssl command, and the files by which clients find the server.

write_account() lays a directory out like /var/run/secrets/kubernetes.io/serviceaccount, and swaps
its files like the kubelet does: a new directory, and one rename of the link ..data.
"""
import base64
import ipaddress
import os
import shutil
import ssl
import subprocess
import tempfile

_REQUEST = """[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
{subject}
[extensions]
subjectKeyIdentifier = hash
"""
_CA = """basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
"""
_LEAF = """basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


def _openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stdout}")


class Authority:
    """A certificate authority in a directory of its own."""

    def __init__(self, directory, name="kubernetes"):
        self.directory = tempfile.mkdtemp(prefix="ca-", dir=directory)
        self.certificate, self._key = self._make("ca", {"CN": name}, _CA)

    def server(self, names):
        """(certificate, key) for these addresses and names."""
        kinds = [("IP:" if _is_address(name) else "DNS:") + name for name in names]
        return self._leaf("server", {"CN": "kube-apiserver"}, "serverAuth", kinds)

    def client(self, user, group="system:authenticated"):
        return self._leaf("client", {"O": group, "CN": user}, "clientAuth", ["DNS:client"])

    def pem(self):
        with open(self.certificate, encoding="ascii") as file:
            return file.read()

    def _leaf(self, stem, subject, usage, names):
        extensions = _LEAF.format(usage=usage, names=", ".join(names))
        return self._make(stem, subject, extensions, "-CA", self.certificate, "-CAkey", self._key)

    def _make(self, stem, subject, extensions, *signer):
        """(certificate, key), signed by itself or by the signer."""
        config, certificate, key = (os.path.join(self.directory, stem + end)
                                    for end in (".cnf", ".crt", ".key"))
        rows = "\n".join(f"{name} = {value}" for name, value in subject.items())
        _write_text(config, _REQUEST.format(subject=rows) + extensions)
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-config", config, "-days", "2", "-keyout", key, "-out", certificate, *signer)
        return certificate, key


def _is_address(name):
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return False


def server_context(pair, client_authority=None, is_http2=False):
    """HTTP/1.1 by ALPN, or HTTP/2 as well; client certificates are asked for, and may be missing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.set_alpn_protocols(["h2", "http/1.1"] if is_http2 else ["http/1.1"])
    if client_authority:
        context.load_verify_locations(client_authority.certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def write_account(directory, token, ca_pem, namespace):
    """Each file is None to leave it out; the others change together."""
    os.makedirs(directory, exist_ok=True)
    fresh = tempfile.mkdtemp(prefix="..", dir=directory)
    os.chmod(fresh, 0o755)
    for name, text in (("token", token), ("ca.crt", ca_pem), ("namespace", namespace)):
        link = os.path.join(directory, name)
        if text is not None:
            _write_text(os.path.join(fresh, name), text)
            if not os.path.lexists(link):
                os.symlink("..data/" + name, link)
        elif os.path.lexists(link):
            os.unlink(link)
    data, new = os.path.join(directory, "..data"), os.path.join(directory, "..data_tmp")
    old = os.readlink(data) if os.path.islink(data) else None
    os.symlink(os.path.basename(fresh), new)
    os.rename(new, data)
    if old:
        shutil.rmtree(os.path.join(directory, old))


def _write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


_KUBECONFIG = """apiVersion: v1
kind: Config
clusters:
- name: fake
  cluster:
    server: {url}
    {ca}
contexts:
- name: fake
  context:
    cluster: fake
    user: fake
    namespace: {namespace}
current-context: fake
users:
- name: fake
  user:
{user}
"""


def write_kubeconfig(path, url, ca_file, namespace, token=None, pair=None, inline=True):
    """A kubeconfig as kubectl writes it, with a token or a client certificate.

    inline: the certificates are in the file itself (...-data), or else named by path."""
    if token is not None:
        rows = [f"token: {token}"]
    else:
        rows = [_reference("client-certificate", pair[0], inline),
                _reference("client-key", pair[1], inline)]
    _write_text(path, _KUBECONFIG.format(
        url=url, ca=_reference("certificate-authority", ca_file, inline), namespace=namespace,
        user="\n".join("    " + row for row in rows)))
    os.chmod(path, 0o600)


def _reference(name, path, inline):
    if not inline:
        return f"{name}: {path}"
    with open(path, "rb") as file:
        return f"{name}-data: {base64.b64encode(file.read()).decode()}"
