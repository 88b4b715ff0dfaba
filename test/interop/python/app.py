"""An app on the official Python SDK, driven by the test: a JSON request a line on stdin, a JSON answer a line on stdout.

Every other line that a monitor causes has the member `event`. The SDK's own prints go to stderr.
"""

import json
import os
import queue
import secrets
import sys
import threading
import uuid

from at_client import AtClient
from at_client.common import AtSign
from at_client.common.keys import PublicKey, SelfKey, SharedKey
from at_client.connections import Address, AtRootConnection, AtSecondaryConnection
from at_client.util import AuthUtil, KeysUtil, OnboardingUtil

ANSWERS, sys.stdout = sys.stdout, sys.stderr
WRITING = threading.Lock()


def answer(message):
    with WRITING:
        print(json.dumps(message), file=ANSWERS, flush=True)


def key_of(request):
    by = AtSign(request["by"])
    if request.get("public"):
        key = PublicKey(request["name"], by)
    elif "to" in request:
        key = SharedKey(request["name"], by, AtSign(request["to"]))
    else:
        key = SelfKey(request["name"], by)
    if "namespace" in request:
        key.set_namespace(request["namespace"])
    return key


class App:
    def login(self, request):
        self.atsign = AtSign(request["atSign"])
        self.root = Address.from_string(request["root"])
        self.client = AtClient(self.atsign, root_address=self.root)
        return self.client.is_authenticated()

    def scan(self, request):
        return [str(key) for key in self.client.get_at_keys(request.get("pattern"), True)]

    def put(self, request):
        return self.client.put(key_of(request), request["value"])

    def get(self, request):
        return self.client.get(key_of(request))

    def delete(self, request):
        return self.client.delete(key_of(request))

    def notify(self, request):
        key = key_of(request)
        if not request.get("ownNonce"):
            return self.client.notify(key, request["value"])
        # Older releases leave nonce and id to the caller.
        key.metadata.iv_nonce = secrets.token_bytes(16)
        return self.client.notify(key, request["value"], session_id=str(uuid.uuid4()))

    def monitor(self, _request):
        events = queue.Queue()
        self.watcher = AtClient(self.atsign, root_address=self.root, queue=events)
        threading.Thread(target=self.watcher.start_monitor, daemon=True).start()
        threading.Thread(target=self.tell, args=(self.watcher, events), daemon=True).start()
        return True

    def heartbeat(self, _request):
        """What the SDK does every 30 seconds."""
        connection = self.watcher.monitor_connection
        connection.execute_command(command="noop:0", retry_on_exception=False, read_the_response=False)
        return True

    def tell(self, client, events):
        while True:
            event = events.get()
            kind = str(event.event_type)
            data = event.event_data
            told = {name: data.get(name) for name in ("id", "from", "key", "operation", "exception")}
            answer({"event": kind, **told, "value": data.get("decryptedValue")})
            if kind in ("UPDATE_NOTIFICATION", "SHARED_KEY_NOTIFICATION"):
                client.handle_event(events, event)

    def onboard(self, request):
        """Activation by CRAM secret, with the functions that the SDK has for it."""
        atsign = AtSign(request["atSign"])
        root = Address.from_string(request["root"])
        address = AtRootConnection.get_instance(root.host, root.port).find_secondary(atsign)
        connection = AtSecondaryConnection(address)
        connection.connect()
        AuthUtil.authenticate_with_cram(connection, atsign, request["secret"])
        keys = {}
        OnboardingUtil.generate_pkam_keypair(keys)
        OnboardingUtil.generate_encryption_keypair(keys)
        OnboardingUtil.generate_self_encryption_key(keys)
        KeysUtil.save_keys(atsign, keys)
        OnboardingUtil.store_pkam_public_key(connection, keys)
        AuthUtil.authenticate_with_pkam(connection, atsign, KeysUtil.load_keys(atsign))
        OnboardingUtil.store_public_encryption_key(connection, atsign.without_prefix, keys)
        OnboardingUtil.delete_cram_key(connection)
        return KeysUtil.get_keys_file(atsign, KeysUtil.expected_keys_files_location)


def main():
    app = App()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer({"ok": getattr(app, request["do"])(request)})
        except Exception as error:
            answer({"error": type(error).__name__, "message": str(error)})
    os._exit(0)  # Older releases leave a thread behind.


main()
