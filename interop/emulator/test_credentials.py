"""Credentials that are no secrets, and access that is evaluated continuously."""

import base64
import json
import os
import pathlib
import tempfile
import unittest.mock

import msal
import requests
from azure.identity import (
    ClientAssertionCredential,
    ManagedIdentityCredential,
    OnBehalfOfCredential,
    WorkloadIdentityCredential,
)

from emulator import (
    ALICE,
    API,
    CLIENT_ID,
    CLIENT_SECRET,
    GRAPH,
    REDIRECT_URI,
    SCOPES,
    TENANT,
    EmulatorCase,
)

SUBJECT = "system:serviceaccount:mcp:entrada"
AUDIENCE = "api://AzureADTokenExchange"
IDENTITY = "40000000-0000-4000-8000-000000000001"
PRINCIPAL = "41000000-0000-4000-8000-000000000001"
IDENTITY_HEADER = "identity~9Z.a-public_test-secret_01234567"


def claims_of(token: str) -> dict:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class CredentialCase(EmulatorCase):
    def workload_token(self, subject=SUBJECT) -> str:
        return self.control("mint-workload-token", subject=subject, audience=AUDIENCE, seconds=600)["token"]

    def confidential(self, credential, **more):
        return msal.ConfidentialClientApplication(
            CLIENT_ID,
            client_credential=credential,
            authority=self.authority,
            instance_discovery=False,
            verify=self.ca,
            **more,
        )

    def sign_in(self, application, **options):
        flow = application.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT_URI, **options)
        return application.acquire_token_by_auth_code_flow(flow, self.browse(flow["auth_uri"]))

    def options(self, **more):
        return {
            "authority": self.url,
            "disable_instance_discovery": True,
            "connection_verify": self.ca,
            **more,
        }

    def environment(self, **variables):
        patch = unittest.mock.patch.dict(os.environ, variables)
        patch.start()
        self.addCleanup(patch.stop)

    def on_a_virtual_machine(self):
        self.environment(AZURE_POD_IDENTITY_AUTHORITY_HOST=self.url)

    def in_app_service(self):
        self.environment(IDENTITY_ENDPOINT=f"{self.url}/msi/token", IDENTITY_HEADER=IDENTITY_HEADER)


class Federated(CredentialCase):
    def test_a_workloads_token_with_every_grant(self):
        application = self.confidential({"client_assertion": self.workload_token})
        result = self.sign_in(application)
        self.assertEqual(claims_of(result["access_token"])["azpacr"], "2", result)
        (account,) = application.get_accounts()
        refreshed = application.acquire_token_silent(SCOPES, account, force_refresh=True)
        self.assertIn("access_token", refreshed, refreshed)
        graph = application.acquire_token_on_behalf_of(result["access_token"], [f"{GRAPH}/User.Read"])
        self.assertIn("access_token", graph, graph)

    def test_somebody_elses_token(self):
        token = self.workload_token("system:serviceaccount:mcp:other")
        application = self.confidential({"client_assertion": token})
        result = application.acquire_token_for_client([f"{GRAPH}/.default"])
        self.assertEqual(result.get("error"), "invalid_client", result)
        self.assertEqual(result["error_codes"], [700213])

    def test_a_token_in_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "token")
            path.write_text(self.workload_token())
            options = self.options(tenant_id=TENANT, client_id=CLIENT_ID, token_file_path=str(path))
            with WorkloadIdentityCredential(**options) as credential:
                token = credential.get_token(f"{GRAPH}/.default").token
        self.assertEqual(claims_of(token)["appidacr"], "2")

    def test_on_behalf_of(self):
        assertion = self.sign_in(self.confidential(CLIENT_SECRET))["access_token"]
        options = self.options(client_assertion_func=self.workload_token, user_assertion=assertion)
        with OnBehalfOfCredential(TENANT, CLIENT_ID, **options) as credential:
            token = credential.get_token(f"{GRAPH}/User.Read").token
        self.assertEqual(self.get(f"{self.url}/graph/v1.0/me", token).status_code, 200)


class ManagedIdentity(CredentialCase):
    def by_msal(self, identity):
        with requests.Session() as session:
            session.verify = self.ca
            client = msal.ManagedIdentityClient(identity, http_client=session)
            return client.acquire_token_for_client(resource=GRAPH)

    def test_msal_on_a_virtual_machine_and_in_app_service(self):
        for place in (self.on_a_virtual_machine, self.in_app_service):
            place()
            for identity in (
                msal.SystemAssignedManagedIdentity(),
                msal.UserAssignedManagedIdentity(client_id=IDENTITY),
                msal.UserAssignedManagedIdentity(object_id=PRINCIPAL),
            ):
                result = self.by_msal(identity)
                self.assertIn("access_token", result, result)
                self.assertEqual(claims_of(result["access_token"])["oid"], PRINCIPAL)
                self.assertGreater(result["expires_in"], 80000)
            unknown = self.by_msal(msal.UserAssignedManagedIdentity(client_id=CLIENT_ID))
            self.assertIn("error", unknown, unknown)

    def test_azure_identity_instead_of_a_secret(self):
        for place in (self.on_a_virtual_machine, self.in_app_service):
            place()
            with ManagedIdentityCredential(client_id=IDENTITY, connection_verify=self.ca) as identity:
                assertion = lambda: identity.get_token(f"{AUDIENCE}/.default").token
                with ClientAssertionCredential(TENANT, CLIENT_ID, assertion, **self.options()) as credential:
                    token = credential.get_token(f"{GRAPH}/.default").token
            self.assertEqual(claims_of(token)["appid"], CLIENT_ID)
            self.assertEqual(claims_of(token)["appidacr"], "2")


class ContinuousAccess(CredentialCase):
    def test_a_challenge_is_answered_by_a_newer_sign_in(self):
        application = self.confidential(CLIENT_SECRET, client_capabilities=["cp1"])
        scopes = [f"{GRAPH}/User.Read"]
        assertion = self.sign_in(application)["access_token"]
        graph = application.acquire_token_on_behalf_of(assertion, scopes)
        self.assertGreater(graph["expires_in"], 70000)
        me = f"{self.url}/graph/v1.0/me"
        self.assertEqual(self.get(me, graph["access_token"]).status_code, 200)

        self.control("revoke-sessions", user=ALICE)
        refused = self.get(me, graph["access_token"])
        self.assertEqual(refused.status_code, 401)
        challenge = refused.headers["www-authenticate"].split('claims="')[1].rstrip('"')
        claims = base64.b64decode(challenge).decode()
        again = application.acquire_token_on_behalf_of(assertion, scopes, claims_challenge=claims)
        self.assertEqual(again.get("error"), "invalid_grant", again)
        self.assertEqual(again["claims"], claims)

        newer = self.sign_in(application, claims_challenge=claims)["access_token"]
        graph = application.acquire_token_on_behalf_of(newer, scopes, claims_challenge=claims)
        self.assertEqual(self.get(me, graph["access_token"]).status_code, 200, graph)

