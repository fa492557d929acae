"""azure-identity, unmodified, with and without asyncio."""

import asyncio
import time

import msal
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential, OnBehalfOfCredential
from azure.identity import aio

from emulator import (
    API,
    CLIENT_ID,
    CLIENT_SECRET,
    DAEMON_CERTIFICATE,
    DAEMON_ID,
    DAEMON_KEY,
    DAEMON_SECRET,
    DOWNSTREAM,
    GRAPH,
    REDIRECT_URI,
    SCOPES,
    TENANT,
    UNCONSENTED,
    ALICE,
    EmulatorCase,
)

CERTIFICATE = (DAEMON_KEY + DAEMON_CERTIFICATE).encode()


class AzureIdentityCase(EmulatorCase):
    def options(self, **more):
        return {
            "authority": self.url,
            "disable_instance_discovery": True,
            "connection_verify": self.ca,
            **more,
        }

    def assertion(self) -> str:
        application = msal.ConfidentialClientApplication(
            CLIENT_ID, CLIENT_SECRET, authority=self.authority, instance_discovery=False, verify=self.ca
        )
        flow = application.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT_URI)
        return application.acquire_token_by_auth_code_flow(flow, self.browse(flow["auth_uri"]))["access_token"]

    def assert_fresh(self, token):
        self.assertEqual(token.token.count("."), 2)
        self.assertGreater(token.expires_on, time.time() + 3000)


class Blocking(AzureIdentityCase):
    def test_a_secret_and_the_cache(self):
        with ClientSecretCredential(TENANT, DAEMON_ID, DAEMON_SECRET, **self.options()) as credential:
            token = credential.get_token(f"{API}/.default")
            self.assert_fresh(token)
            self.assertEqual(credential.get_token(f"{API}/.default").token, token.token)
            self.assert_fresh(credential.get_token_info(f"{GRAPH}/.default"))
        self.assertEqual(self.control("calls", endpoint={"token_grant": "client_credentials"}), {"calls": 2})

    def test_a_certificate(self):
        for chain in (False, True):
            options = self.options(certificate_data=CERTIFICATE, send_certificate_chain=chain)
            with CertificateCredential(TENANT, DAEMON_ID, **options) as credential:
                self.assert_fresh(credential.get_token(f"{API}/.default"))

    def test_on_behalf_of(self):
        options = self.options(client_secret=CLIENT_SECRET, user_assertion=self.assertion())
        with OnBehalfOfCredential(TENANT, CLIENT_ID, **options) as credential:
            graph = credential.get_token(f"{GRAPH}/User.Read")
            self.assert_fresh(graph)
            self.assertEqual(self.get(f"{self.url}/graph/v1.0/me", graph.token).status_code, 200)
            self.assert_fresh(credential.get_token(f"{DOWNSTREAM}/.default"))
            with self.assertRaisesRegex(ClientAuthenticationError, "AADSTS65001: "):
                credential.get_token(f"{UNCONSENTED}/data.read")

    def test_on_behalf_of_with_a_certificate(self):
        options = self.options(client_certificate=CERTIFICATE, user_assertion=self.assertion())
        with OnBehalfOfCredential(TENANT, CLIENT_ID, **options) as credential:
            self.assert_fresh(credential.get_token(f"{GRAPH}/.default"))

    def test_on_behalf_of_with_a_second_factor_demanded(self):
        self.control("demand-mfa-at-obo", user=ALICE, demanded=True)
        options = self.options(client_secret=CLIENT_SECRET, user_assertion=self.assertion())
        with OnBehalfOfCredential(TENANT, CLIENT_ID, **options) as credential:
            with self.assertRaisesRegex(ClientAuthenticationError, "AADSTS50076: "):
                credential.get_token(f"{GRAPH}/User.Read")

    def test_errors_are_told(self):
        for client_id, secret, scope, number in [
            (DAEMON_ID, "wrong", f"{API}/.default", 7000215),
            (DAEMON_ID[:-2] + "ff", "x", f"{API}/.default", 700016),
            (DAEMON_ID, DAEMON_SECRET, "api://nobody/.default", 500011),
        ]:
            with self.subTest(number), ClientSecretCredential(TENANT, client_id, secret, **self.options()) as credential:
                with self.assertRaisesRegex(ClientAuthenticationError, f"AADSTS{number}: "):
                    credential.get_token(scope)

    def test_throttling_is_waited_out(self):
        self.control("throttle-next", endpoint="token", calls=1, retry_after=1)
        with ClientSecretCredential(TENANT, DAEMON_ID, DAEMON_SECRET, **self.options()) as credential:
            self.assert_fresh(credential.get_token(f"{API}/.default"))
        self.assertEqual(self.control("calls", endpoint="token"), {"calls": 2})


class Asynchronous(AzureIdentityCase):
    def test_a_secret(self):
        async def main():
            async with aio.ClientSecretCredential(TENANT, DAEMON_ID, DAEMON_SECRET, **self.options()) as credential:
                self.assert_fresh(await credential.get_token(f"{API}/.default"))

        asyncio.run(main())

    def test_a_certificate(self):
        async def main(chain):
            options = self.options(certificate_data=CERTIFICATE, send_certificate_chain=chain)
            async with aio.CertificateCredential(TENANT, DAEMON_ID, **options) as credential:
                self.assert_fresh(await credential.get_token(f"{API}/.default"))

        for chain in (False, True):
            asyncio.run(main(chain))

    def test_on_behalf_of(self):
        assertion = self.assertion()

        async def main():
            options = self.options(client_secret=CLIENT_SECRET, user_assertion=assertion)
            async with aio.OnBehalfOfCredential(TENANT, CLIENT_ID, **options) as credential:
                graph = await credential.get_token(f"{GRAPH}/User.Read")
                self.assertEqual(self.get(f"{self.url}/graph/v1.0/me", graph.token).status_code, 200)
                self.assert_fresh(await credential.get_token(f"{DOWNSTREAM}/data.read"))
                with self.assertRaisesRegex(ClientAuthenticationError, "AADSTS65001: "):
                    await credential.get_token(f"{UNCONSENTED}/data.read")

        asyncio.run(main())

    def test_on_behalf_of_with_a_certificate(self):
        assertion = self.assertion()

        async def main():
            options = self.options(client_certificate=CERTIFICATE, user_assertion=assertion)
            async with aio.OnBehalfOfCredential(TENANT, CLIENT_ID, **options) as credential:
                self.assert_fresh(await credential.get_token(f"{GRAPH}/.default"))

        asyncio.run(main())

    def test_the_wrong_secret(self):
        async def main():
            async with aio.ClientSecretCredential(TENANT, DAEMON_ID, "wrong", **self.options()) as credential:
                with self.assertRaisesRegex(ClientAuthenticationError, "AADSTS7000215: "):
                    await credential.get_token(f"{API}/.default")

        asyncio.run(main())
