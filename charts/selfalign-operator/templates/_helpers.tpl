{{- define "selfalign.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "selfalign.labels" -}}
app.kubernetes.io/name: selfalign-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "selfalign.selector" -}}
app.kubernetes.io/name: selfalign-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "selfalign.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "selfalign.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "selfalign.image" -}}
{{- $images := .root.Values.images -}}
{{ $images.registry }}/{{ index $images .part }}:{{ default .root.Chart.AppVersion $images.tag }}
{{- end -}}

{{- define "selfalign.namespaces" -}}
{{- if eq .Values.scope "namespaced" -}}
{{- append .Values.watchNamespaces .Release.Namespace | uniq | join "," -}}
{{- end -}}
{{- end -}}

{{- /* What the operator may do: no Secrets, no exec, no deletion of runs. */ -}}
{{- define "selfalign.rules" -}}
- apiGroups: [selfalign.dev]
  resources: [selfalignruns]
  verbs: [get, list, watch]
- apiGroups: [selfalign.dev]
  resources: [selfalignruns/status]
  verbs: [get, patch]
- apiGroups: [selfalign.dev]
  resources: [selfalignruns/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update]
{{- end -}}
