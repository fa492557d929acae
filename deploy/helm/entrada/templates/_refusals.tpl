{{/* What cannot work is refused here, before anything is made. */}}
{{- define "entrada.refusals" -}}
{{- range $name := list "base_url" "tenant_id" "client_id" -}}
{{- $_ := required (printf "config.%s: it must be set" $name) (get $.Values.config $name) -}}
{{- end -}}
{{- if not (or .Values.config.upstream .Values.config.route) -}}
{{- fail "config.upstream: say where the MCP server is, or list several as config.route" -}}
{{- end -}}
{{- range $name := list "listen" "metrics_listen" "data_dir" "drain_timeout" "store" "store_password_file" "key_encryption_key_file" "client_secret" "client_secret_file" "client_certificate" "client_certificate_password_file" "federated_token_file" "managed_identity" -}}
{{- if hasKey $.Values.config $name -}}
{{- fail (printf "config.%s: the chart itself sets this, by `listenAddress`, `port`, `metrics`, `drainSeconds`, `credential`, `store` and `secret`" $name) -}}
{{- end -}}
{{- end -}}
{{- include "entrada.refusals.store" . -}}
{{- include "entrada.refusals.secret" . -}}
{{- if and .Values.metrics.enabled (eq (int .Values.port) (int .Values.metrics.port)) -}}
{{- fail "metrics.port: it must not be the port that everybody asks" -}}
{{- end -}}
{{- if and (or .Values.metrics.annotations .Values.metrics.podMonitor.enabled) (not .Values.metrics.enabled) -}}
{{- fail "metrics.enabled: without it there is nothing to read" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway that the route belongs to" -}}
{{- end -}}
{{- end -}}

{{- define "entrada.refusals.store" -}}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}
{{- if and $several (not .Values.store.url) -}}
{{- fail (printf "store.url: %s need a store that they share, such as redis://redis.data.svc:6379 or postgres://entrada@db.data.svc/entrada; without one set replicas=1 and leave autoscaling off" (ternary "replicas that come and go" (printf "%d replicas" (int .Values.replicas)) .Values.autoscaling.enabled)) -}}
{{- end -}}
{{- if .Values.store.url -}}
{{- if not (regexMatch "^((redis|valkey)s?([+](sentinel|cluster))?|postgres(ql)?)://[^/]" .Values.store.url) -}}
{{- fail "store.url: a store that pods share begins with redis://, rediss://, redis+sentinel://, redis+cluster:// or postgres://" -}}
{{- end -}}
{{- if or (regexMatch "^[a-z+]+://[^/@]*:.*@" .Values.store.url) (regexMatch "[?&][a-z_]*password=" .Values.store.url) -}}
{{- fail "store.url: take the password out of it, for it would stand in a ConfigMap, and put it into the Secret as store-password" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas: there would be more of them than autoscaling.maxReplicas" -}}
{{- end -}}
{{- end -}}

{{- define "entrada.refusals.secret" -}}
{{- $values := dict "client-secret" "clientSecret" "client-certificate" "clientCertificate" "store-password" "storePassword" "key-encryption-key" "keyEncryptionKey" -}}
{{- range $key := splitList " " (include "entrada.secretKeys" .) -}}
{{- if and $key (not $.Values.secret.existing) (not (get $.Values.secret (get $values $key))) -}}
{{- fail (printf "secret.existing: name a Secret that has the key %s (for a trial, set secret.%s)" $key (get $values $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
