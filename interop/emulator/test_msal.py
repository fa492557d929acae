"""Microsoft Authentication Library for Python, unmodified."""

import msal

from emulator import (
    ALICE,
    ALICE_OID,
    API,
    B2C_API,
    B2C_DOMAIN,
    B2C_ID,
    B2C_SECRET,
    B2C_TENANT,
    BELLA,
    BELLA_OID,
    CAROL,
    CAROL_OID,
    CLIENT_ID,
    CLIENT_SECRET,
    CUSTOMERS_ID,
    CUSTOMERS_SECRET,
    CUSTOMERS_TENANT,
    DAEMON_CERTIFICATE,
    DAEMON_ID,
    DAEMON_KEY,
    DAEMON_SECRET,
    DOWNSTREAM,
    GRAPH,
    PUBLIC_ID,
    REDIRECT_URI,
    SCOPES,
    TENANT,
    UNCONSENTED,
    EmulatorCase,
)


class MsalCase(EmulatorCase):
    def confidential(self, client_id=CLIENT_ID, credential=CLIENT_SECRET, authority=None):
        return msal.ConfidentialClientApplication(
            client_id,
            client_credential=credential,
            authority=authority or self.authority,
            instance_discovery=False,
            verify=self.ca,
        )

    def sign_in(self, application, scopes=SCOPES, **options):
        flow = application.initiate_auth_code_flow(scopes, redirect_uri=REDIRECT_URI, **options)
        return application.acquire_token_by_auth_code_flow(flow, self.browse(flow["auth_uri"]))

    def code(self, application) -> str:
        return self.browse(application.get_authorization_request_url(SCOPES, redirect_uri=REDIRECT_URI))["code"]

    def assert_refused(self, result, error, number, **more):
        self.assertEqual(result.get("error"), error, result)
        self.assertEqual(result["error_codes"], [number], result)
        self.assertTrue(result["error_description"].startswith(f"AADSTS{number}: "), result)
        for name, value in more.items():
            self.assertEqual(result.get(name), value, result)


class AuthorizationCode(MsalCase):
    def test_a_person_signs_in_and_the_cache_does_the_rest(self):
        application = self.confidential()
        result = self.sign_in(application)
        self.assertIn("access_token", result, result)
        claims = result["id_token_claims"]
        self.assertEqual(claims["oid"], ALICE_OID)
        self.assertEqual(claims["preferred_username"], ALICE)
        self.assertEqual(claims["tid"], TENANT)

        (account,) = application.get_accounts()
        self.assertEqual(account["home_account_id"], f"{ALICE_OID}.{TENANT}")
        cached = application.acquire_token_silent(SCOPES, account)
        self.assertEqual(cached["access_token"], result["access_token"])
        self.assertEqual(cached["token_source"], "cache")
        # A scope consented to earlier came along and is in the cache too.
        wider = application.acquire_token_silent([f"{API}/mcp.write"], account)
        self.assertEqual(wider["access_token"], result["access_token"])

        refreshed = application.acquire_token_silent(SCOPES, account, force_refresh=True)
        self.assertNotEqual(refreshed["access_token"], result["access_token"])
        self.assertEqual(refreshed["token_source"], "identity_provider")
        graph = application.acquire_token_silent([f"{GRAPH}/User.Read"], account)
        profile = self.get(f"{self.url}/graph/v1.0/me", graph["access_token"]).json()
        self.assertEqual(profile["userPrincipalName"], ALICE)

    def test_a_refresh_token_carried_by_hand(self):
        application = self.confidential()
        code = self.code(application)
        result = application.acquire_token_by_authorization_code(code, SCOPES, redirect_uri=REDIRECT_URI)
        other = self.confidential()
        refreshed = other.acquire_token_by_refresh_token(result["refresh_token"], SCOPES)
        self.assertIn("refresh_token", refreshed, refreshed)
        again = other.acquire_token_by_refresh_token(result["refresh_token"], SCOPES)
        self.assertIn("access_token", again, again)

    def test_a_code_is_good_once(self):
        application = self.confidential()
        code = self.code(application)
        redeem = lambda: application.acquire_token_by_authorization_code(code, SCOPES, redirect_uri=REDIRECT_URI)
        self.assertIn("access_token", redeem())
        self.assert_refused(redeem(), "invalid_grant", 54005)

    def test_a_code_expires(self):
        application = self.confidential()
        code = self.code(application)
        self.control("advance", seconds=600)
        result = application.acquire_token_by_authorization_code(code, SCOPES, redirect_uri=REDIRECT_URI)
        self.assert_refused(result, "invalid_grant", 70008)

    def test_revoked_and_idle_refresh_tokens(self):
        application = self.confidential()
        token = application.acquire_token_by_authorization_code(
            self.code(application), SCOPES, redirect_uri=REDIRECT_URI
        )["refresh_token"]
        self.control("revoke-refresh-tokens", user=ALICE)
        self.assert_refused(application.acquire_token_by_refresh_token(token, SCOPES), "invalid_grant", 50173)
        (account,) = application.get_accounts()
        self.assertIsNone(application.acquire_token_silent(SCOPES, account, force_refresh=True))
        with_error = application.acquire_token_silent_with_error(SCOPES, account, force_refresh=True)
        self.assert_refused(with_error, "invalid_grant", 50173)

    def test_consent_taken_back_is_told_apart(self):
        application = self.confidential()
        self.sign_in(application)
        self.control("revoke-consent", client_id=CLIENT_ID)
        (account,) = application.get_accounts()
        result = application.acquire_token_silent_with_error(SCOPES, account, force_refresh=True)
        self.assert_refused(result, "invalid_grant", 65001, classification="consent_required")

    def test_errors_that_come_back_through_the_browser(self):
        application = self.confidential()
        flow = application.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT_URI, prompt="none")
        result = application.acquire_token_by_auth_code_flow(flow, self.browse(flow["auth_uri"]))
        self.assertEqual(result["error"], "login_required")

    def test_the_wrong_secret(self):
        code = self.code(self.confidential())
        wrong = self.confidential(credential="wrong")
        result = wrong.acquire_token_by_authorization_code(code, SCOPES, redirect_uri=REDIRECT_URI)
        self.assert_refused(result, "invalid_client", 7000215)


class ClientCredentials(MsalCase):
    scopes = [f"{API}/.default"]

    def test_a_secret(self):
        application = self.confidential(DAEMON_ID, DAEMON_SECRET)
        result = application.acquire_token_for_client(self.scopes)
        self.assertIn("access_token", result, result)
        again = application.acquire_token_for_client(self.scopes)
        self.assertEqual(again["token_source"], "cache")

    def test_a_certificate_however_it_is_named(self):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        certificate = x509.load_pem_x509_certificate(DAEMON_CERTIFICATE.encode())
        sha1 = certificate.fingerprint(hashes.SHA1()).hex()
        for credential in [
            {"private_key": DAEMON_KEY, "public_certificate": DAEMON_CERTIFICATE},
            {"private_key": DAEMON_KEY, "public_certificate": DAEMON_CERTIFICATE, "thumbprint": sha1},
            {"private_key": DAEMON_KEY, "thumbprint": sha1},
        ]:
            with self.subTest(sorted(credential)):
                result = self.confidential(DAEMON_ID, credential).acquire_token_for_client(self.scopes)
                self.assertIn("access_token", result, result)

    def test_a_certificate_nobody_knows(self):
        credential = {"private_key": DAEMON_KEY, "thumbprint": "00" * 20}
        result = self.confidential(DAEMON_ID, credential).acquire_token_for_client(self.scopes)
        self.assert_refused(result, "invalid_client", 700027)

    def test_mistakes(self):
        for client_id, secret, scope, error, number in [
            (DAEMON_ID, "wrong", f"{API}/.default", "invalid_client", 7000215),
            (CLIENT_ID, "mcp~8Q.an-expired_test-secret_0123456789", f"{GRAPH}/.default", "invalid_client", 7000222),
            (DAEMON_ID[:-2] + "ff", "x", f"{API}/.default", "unauthorized_client", 700016),
            (DAEMON_ID, DAEMON_SECRET, f"{API}/mcp.read", "invalid_scope", 70011),
            (DAEMON_ID, DAEMON_SECRET, "api://nobody/.default", "invalid_resource", 500011),
        ]:
            with self.subTest(number):
                application = self.confidential(client_id, secret)
                self.assert_refused(application.acquire_token_for_client([scope]), error, number)

    def test_a_tenant_nobody_knows(self):
        with self.assertRaisesRegex(ValueError, "tenant"):
            self.confidential(authority=f"{self.url}/nobody.example").acquire_token_for_client(self.scopes)


class OnBehalfOf(MsalCase):
    def setUp(self):
        super().setUp()
        self.application = self.confidential()

    def assertion(self, **options) -> str:
        return self.sign_in(self.application, **options)["access_token"]

    def exchange(self, assertion, scopes=(f"{GRAPH}/User.Read",)):
        return self.confidential().acquire_token_on_behalf_of(assertion, list(scopes))

    def test_graph_and_another_api(self):
        assertion = self.assertion()
        graph = self.exchange(assertion)
        profile = self.get(f"{self.url}/graph/v1.0/me", graph["access_token"]).json()
        self.assertEqual(profile["id"], ALICE_OID)
        downstream = self.exchange(assertion, [f"{DOWNSTREAM}/data.read"])
        self.assertIn("access_token", downstream, downstream)

    def test_consent_is_missing(self):
        result = self.exchange(self.assertion(), [f"{UNCONSENTED}/data.read"])
        self.assert_refused(result, "invalid_grant", 65001, suberror="consent_required")

    def test_a_second_factor_is_demanded_and_shown(self):
        self.control("demand-mfa-at-obo", user=ALICE, demanded=True)
        result = self.exchange(self.assertion())
        self.assert_refused(result, "invalid_grant", 50076, suberror="basic_action")
        stronger = self.assertion(claims_challenge=result["claims"])
        self.assertIn("access_token", self.exchange(stronger))

    def test_assertions_that_are_none(self):
        assertion = self.assertion()
        graph = self.exchange(assertion)["access_token"]
        downstream = self.exchange(assertion, [f"{DOWNSTREAM}/data.read"])["access_token"]
        (account,) = self.application.get_accounts()
        id_token = self.application.acquire_token_silent_with_error(SCOPES, account, force_refresh=True)["id_token"]
        for wrong, number in [(graph, 50013), (downstream, 500131), (id_token, 240002), ("x.y.z", 50013)]:
            with self.subTest(number):
                self.assert_refused(self.exchange(wrong), "invalid_grant", number)

    def test_an_expired_assertion(self):
        assertion = self.assertion()
        self.control("advance", seconds=5400)
        self.assert_refused(self.exchange(assertion), "invalid_grant", 500133)


class PublicClient(MsalCase):
    def application(self):
        return msal.PublicClientApplication(
            PUBLIC_ID, authority=self.authority, instance_discovery=False, verify=self.ca
        )

    def test_a_person_signs_in_without_a_secret(self):
        application = self.application()
        flow = application.initiate_auth_code_flow(SCOPES, redirect_uri="http://localhost:7123/callback")
        result = application.acquire_token_by_auth_code_flow(flow, self.browse(flow["auth_uri"]))
        self.assertIn("access_token", result, result)
        (account,) = application.get_accounts()
        refreshed = application.acquire_token_silent(SCOPES, account, force_refresh=True)
        self.assertIn("access_token", refreshed, refreshed)

    def test_a_device(self):
        application = self.application()
        flow = application.initiate_device_flow(SCOPES)
        self.assertEqual(flow["verification_uri"], f"{self.url}/devicelogin")
        once = application.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
        self.assert_refused(once, "authorization_pending", 70016)
        self.enter_user_code(flow["user_code"])
        result = application.acquire_token_by_device_flow(flow)
        self.assertEqual(result["id_token_claims"]["oid"], ALICE_OID, result)


class ExternalId(MsalCase):
    """A tenant for customers, whose issuer has another host than its metadata."""

    scopes = [f"api://{CUSTOMERS_ID}/mcp.read"]

    def application(self):
        return msal.ConfidentialClientApplication(
            CUSTOMERS_ID,
            client_credential=CUSTOMERS_SECRET,
            oidc_authority=f"{self.url}/{CUSTOMERS_TENANT}/v2.0",
            verify=self.ca,
        )

    def test_a_customer_signs_in_and_stays(self):
        application = self.application()
        flow = application.initiate_auth_code_flow(self.scopes, redirect_uri=REDIRECT_URI)
        result = application.acquire_token_by_auth_code_flow(flow, self.browse(flow["auth_uri"], CAROL))
        self.assertIn("access_token", result, result)
        claims = result["id_token_claims"]
        self.assertEqual(claims["oid"], CAROL_OID)
        self.assertEqual(claims["iss"], f"https://{CUSTOMERS_TENANT}.ciamlogin.com/{CUSTOMERS_TENANT}/v2.0")
        (account,) = application.get_accounts()
        refreshed = application.acquire_token_silent(self.scopes, account, force_refresh=True)
        self.assertEqual(refreshed["token_source"], "identity_provider", refreshed)

    def test_an_application_signs_in_as_itself(self):
        result = self.application().acquire_token_for_client([f"{CUSTOMERS_ID}/.default"])
        self.assertIn("access_token", result, result)


class UserFlow(MsalCase):
    """Azure AD B2C, which msal knows by the third part of the authority's path."""

    scopes = [f"{B2C_API}/mcp.read"]

    def application(self, policy="B2C_1_signin", secret=B2C_SECRET):
        return msal.ConfidentialClientApplication(
            B2C_ID,
            client_credential=secret,
            authority=f"{self.url}/{B2C_DOMAIN}/{policy}",
            verify=self.ca,
        )

    def sign_in(self, application, scopes=None, **options):
        flow = application.initiate_auth_code_flow(scopes or self.scopes, redirect_uri=REDIRECT_URI, **options)
        return application.acquire_token_by_auth_code_flow(flow, self.browse(flow["auth_uri"], BELLA))

    def assert_code(self, result, error, code):
        self.assertEqual(result.get("error"), error, result)
        self.assertTrue(result["error_description"].startswith(f"{code}: "), result)

    def test_a_customer_signs_in_and_stays(self):
        application = self.application()
        result = self.sign_in(application)
        self.assertIn("access_token", result, result)
        claims = result["id_token_claims"]
        self.assertEqual(claims["sub"], BELLA_OID)
        self.assertEqual(claims["iss"], f"{self.url}/{B2C_TENANT}/v2.0/")
        (account,) = application.get_accounts()
        self.assertEqual(account["home_account_id"], f"{BELLA_OID}-b2c_1_signin.{B2C_TENANT}")
        cached = application.acquire_token_silent(self.scopes, account)
        self.assertEqual(cached["access_token"], result["access_token"])
        self.assertEqual(cached["token_source"], "cache")
        self.control("advance", seconds=1)
        refreshed = application.acquire_token_silent(self.scopes, account, force_refresh=True)
        self.assertNotEqual(refreshed["access_token"], result["access_token"])

    def test_every_user_flow_names_itself(self):
        for policy, claim, name in [
            ("B2C_1_strict", "tfp", "B2C_1_strict"),
            ("b2c_1a_custom", "acr", "b2c_1a_custom"),
        ]:
            with self.subTest(policy):
                result = self.sign_in(self.application(policy))
                self.assertEqual(result["id_token_claims"][claim], name, result)

    def test_mistakes(self):
        self.assert_code(self.sign_in(self.application(secret="wrong")), "invalid_client", "AADB2C90081")
        admin = self.sign_in(self.application(), [f"{B2C_API}/mcp.admin"])
        self.assert_code(admin, "unauthorized_client", "AADB2C90205")
        silent = self.sign_in(self.application(), prompt="none")
        self.assert_code(silent, "interaction_required", "AADB2C90077")

    def test_there_is_no_other_flow(self):
        token = self.sign_in(self.application())["access_token"]
        on_behalf_of = self.application().acquire_token_on_behalf_of(token, self.scopes)
        self.assert_code(on_behalf_of, "unsupported_grant_type", "AADB2C90086")
        itself = self.application().acquire_token_for_client([f"{B2C_API}/.default"])
        self.assert_code(itself, "unsupported_grant_type", "AADB2C90086")
