"""Who is in the emulator's built-in directory."""

TENANT = "10000000-0000-4000-8000-000000000001"
CLIENT_ID = "30000000-0000-4000-8000-000000000001"
CLIENT_SECRET = "mcp~8Q.a-public_test-secret_0123456789ab"
USERNAME, PASSWORD = "alice@contoso.onmicrosoft.com", "password"
COLLEAGUE = "bob@contoso.onmicrosoft.com"
OID = "20000000-0000-4000-8000-000000000001"
