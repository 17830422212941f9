{{- define "image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end }}

{{- define "backends" -}}
{{- $server := .Values.config.server -}}
{{- $modes := $server.backendMode | default list -}}
{{- $modes = concat $modes (dict "CONFIG_MAP" (list "EKSConfigMap") "API" (list "AccessEntry") "API_AND_CONFIG_MAP" (list "EKSConfigMap" "AccessEntry") | dig ($server.authenticationMode | default "") list) -}}
{{- $modes = concat $modes .Values.rbac.backends -}}
{{- if has "ConfigMap" $modes }}{{ $modes = append $modes "EKSConfigMap" }}{{ end -}}
{{- join "," (uniq $modes) -}}
{{- end }}

{{- /* What the server writes on the host: directories that "init" makes and hands over. */ -}}
{{- define "directories" -}}
{{- $server := .Values.config.server -}}
state: {{ $server.stateDir | default "/var/aws-iam-authenticator" }}
kubeconfig: {{ $server.generateKubeconfig | default "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml" | dir }}
{{- $audit := dig "audit" "path" "" $server }}
{{- if and $audit (ne $audit "-") }}
audit: {{ dir $audit }}
{{- end }}
{{- end }}

{{- /* Where the kubelet finds /healthz and /readyz: of any address, loopback will do. */ -}}
{{- define "healthHost" -}}
{{- $address := .Values.config.server.healthAddress | default "127.0.0.1" -}}
{{- if has $address (list "0.0.0.0" "::") }}127.0.0.1{{ else }}{{ $address }}{{ end -}}
{{- end }}

{{- define "healthPort" -}}
{{- if hasKey .Values.config.server "healthPort" }}{{ int .Values.config.server.healthPort }}{{ else }}21363{{ end }}
{{- end }}

{{- /* Whether two servers run on a node while one takes the place of the other. An audit file is for one alone. */ -}}
{{- define "overlap" -}}
{{- if and .Values.workload.overlap (eq .Values.workload.kind "DaemonSet") (not (include "directories" . | fromYaml).audit) }}true{{ end -}}
{{- end }}

{{- define "server.pod" -}}
{{- $pod := eq .Values.workload.kind "Pod" -}}
{{- $directories := include "directories" . | fromYaml -}}
{{- $configFile := ternary .Values.workload.configFile "/etc/aws-iam-authenticator/config.yaml" $pod -}}
{{- $mounts := list (dict "name" "config" "mountPath" (dir $configFile) "readOnly" true) -}}
{{- range $name, $path := $directories }}{{ $mounts = append $mounts (dict "name" $name "mountPath" $path) }}{{ end -}}
{{- $mounts = concat $mounts .Values.workload.extraVolumeMounts | toYaml -}}
hostNetwork: true # the API server finds it at 127.0.0.1
{{- if $pod }}
priorityClassName: {{ .Values.workload.priorityClassName }}
{{- else }}
dnsPolicy: Default # the host's: that of the cluster needs the API server
serviceAccountName: iam-authenticator
{{- $backends := include "backends" . | splitList "," }}
{{- if not (or (has "EKSConfigMap" $backends) (has "AccessEntry" $backends) (has "CRD" $backends)) }}
automountServiceAccountToken: false # mappings in files need nothing of the API server
{{- end }}
priorityClassName: {{ .Values.workload.priorityClassName }}
nodeSelector: {{- toYaml .Values.workload.nodeSelector | nindent 2 }}
tolerations: {{- toYaml .Values.workload.tolerations | nindent 0 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.workload.runAsUser }}
  runAsGroup: {{ .Values.workload.runAsUser }}
  seccompProfile: {type: RuntimeDefault}
initContainers:
# Makes the directories on the host and gives them to the server, which is not root.
- name: init
  image: {{ include "image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [init, --config, {{ $configFile }}, --owner, "{{ .Values.workload.runAsUser }}:{{ .Values.workload.runAsUser }}"]
  securityContext:
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      add: [CHOWN, DAC_OVERRIDE, SETGID, SETUID] # which it gives up once the directories are the server's
  resources: {{- toYaml .Values.workload.resources | nindent 4 }}
  volumeMounts: {{- $mounts | nindent 2 }}
containers:
- name: server
  image: {{ include "image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- $overlap := include "overlap" . }}
  args: {{- concat (list "server" "--config" $configFile) (ternary (list "--share-ports") list (eq $overlap "true")) .Values.workload.extraArgs | toYaml | nindent 2 }}
  {{- with .Values.workload.env }}
  env: {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- $health := include "healthPort" . }}
  {{- if not $overlap }}
  ports: # on the host's network, so that no two run on a node
  - {name: webhook, containerPort: {{ .Values.config.server.port | default 21362 | int }}, protocol: TCP}
  {{- if ne $health "0" }}
  - {name: health, containerPort: {{ $health }}, protocol: TCP}
  {{- end }}
  {{- end }}
  {{- if ne $health "0" }}
  startupProbe:
    httpGet: {host: {{ include "healthHost" . }}, path: /healthz, port: {{ $health }}}
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    httpGet: {host: {{ include "healthHost" . }}, path: /healthz, port: {{ $health }}}
    timeoutSeconds: 5
  readinessProbe:
    httpGet: {host: {{ include "healthHost" . }}, path: /readyz, port: {{ $health }}}
    timeoutSeconds: 5
  {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  resources: {{- toYaml .Values.workload.resources | nindent 4 }}
  volumeMounts: {{- $mounts | nindent 2 }}
volumes:
- name: config
  {{- if $pod }}
  hostPath: {path: {{ dir $configFile }}, type: Directory}
  {{- else }}
  configMap: {name: iam-authenticator}
  {{- end }}
{{- range $name, $path := $directories }}
- name: {{ $name }}
  hostPath: {path: {{ $path }}, type: DirectoryOrCreate}
{{- end }}
{{- with .Values.workload.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
