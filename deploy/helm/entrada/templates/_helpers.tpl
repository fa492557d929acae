{{- define "entrada.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "entrada.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "entrada.labels" -}}
{{ include "entrada.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "entrada.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "entrada.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: say which service account to use, or let one be made" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "entrada.image" -}}
{{- $repository := required "image.repository: say where you pushed the image that deploy/Dockerfile builds" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "entrada.secretName" -}}
{{- default (include "entrada.name" .) .Values.secret.existing -}}
{{- end -}}

{{/* The keys of the Secret that the gateway reads, parted by spaces. */}}
{{- define "entrada.secretKeys" -}}
{{- $keys := list -}}
{{- if eq .Values.credential.kind "secret" -}}{{- $keys = append $keys "client-secret" -}}{{- end -}}
{{- if eq .Values.credential.kind "certificate" -}}{{- $keys = append $keys "client-certificate" -}}{{- end -}}
{{- if .Values.store.url -}}
{{- $keys = append $keys "key-encryption-key" -}}
{{- if .Values.store.password -}}{{- $keys = append $keys "store-password" -}}{{- end -}}
{{- end -}}
{{- join " " $keys -}}
{{- end -}}

{{/* The host that clients know, of base_url. */}}
{{- define "entrada.host" -}}
{{- regexReplaceAll ":[0-9]+$" (get (urlParse .Values.config.base_url) "host") "" -}}
{{- end -}}

{{/* The port of a URL. */}}
{{- define "entrada.urlPort" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" (get $url "host") | trimPrefix ":" -}}
{{- default (ternary "443" "80" (eq (get $url "scheme") "https")) $port -}}
{{- end -}}

{{/* The ports of the MCP servers, parted by spaces. */}}
{{- define "entrada.upstreamPorts" -}}
{{- $ports := list -}}
{{- if .Values.config.upstream -}}{{- $ports = append $ports (include "entrada.urlPort" .Values.config.upstream) -}}{{- end -}}
{{- range .Values.config.route -}}{{- $ports = append $ports (include "entrada.urlPort" .upstream) -}}{{- end -}}
{{- $ports | uniq | sortAlpha | join " " -}}
{{- end -}}

{{/* The ports of the store, parted by spaces: of each host of its URL, and for sentinels of what they lead to. */}}
{{- define "entrada.storePorts" -}}
{{- $scheme := regexFind "^[a-z+]+" .Values.store.url -}}
{{- $usual := ternary "5432" "6379" (hasPrefix "postgres" $scheme) -}}
{{- $ports := list -}}
{{- if hasSuffix "+sentinel" $scheme -}}
{{- $ports = append $ports $usual -}}
{{- $usual = "26379" -}}
{{- end -}}
{{- range splitList "," (regexReplaceAll "^[a-z+]+://([^/?]*@)?([^/?]*).*$" .Values.store.url "${2}") -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default $usual) -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | join " " -}}
{{- end -}}

{{/* entrada.toml. */}}
{{- define "entrada.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" (printf "%s:%d" .Values.listenAddress (int .Values.port)) -}}
{{- $_ := set $config "drain_timeout" (printf "%ds" (int .Values.drainSeconds)) -}}
{{- if eq .Values.credential.kind "secret" -}}
{{- $_ := set $config "client_secret_file" "/run/secrets/entrada/client-secret" -}}
{{- else if eq .Values.credential.kind "certificate" -}}
{{- $_ := set $config "client_certificate" "/run/secrets/entrada/client-certificate" -}}
{{- end -}}
{{- if .Values.store.url -}}
{{- $_ := set $config "store" .Values.store.url -}}
{{- $_ := set $config "key_encryption_key_file" "/run/secrets/entrada/key-encryption-key" -}}
{{- if .Values.store.password -}}
{{- $_ := set $config "store_password_file" "/run/secrets/entrada/store-password" -}}
{{- end -}}
{{- else -}}
{{- $_ := set $config "data_dir" "/var/lib/entrada" -}}
{{- end -}}
{{- if .Values.metrics.enabled -}}
{{- $_ := set $config "metrics_listen" (printf "%s:%d" .Values.listenAddress (int .Values.metrics.port)) -}}
{{- end -}}
{{- toToml $config -}}
{{- end -}}
