{{- define "selfalign.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* A label value: at most 63 letters, digits, "-", "_" and ".", alphanumeric at both ends. Versions may have "+". */ -}}
{{- define "selfalign.labelValue" -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" (regexReplaceAll "[^A-Za-z0-9._-]" . "_" | trunc 63) "" | quote -}}
{{- end -}}

{{- define "selfalign.labels" -}}
app.kubernetes.io/name: selfalign-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ include "selfalign.labelValue" .Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "selfalign.labelValue" (printf "%s-%s" .Chart.Name .Chart.Version) }}
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
{{ $images.registry }}/{{ index $images .part }}:{{ default (replace "+" "_" .root.Chart.AppVersion) $images.tag }}
{{- with index $images.digests .part }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "selfalign.namespaces" -}}
{{- if eq .Values.scope "namespaced" -}}
{{- append .Values.watchNamespaces .Release.Namespace | uniq | join "," -}}
{{- end -}}
{{- end -}}

{{- /* Whether the operator itself is part of the release, and whether what all namespaces share is. */ -}}
{{- define "selfalign.operates" -}}
{{- if ne .Values.scope "none" }}true{{ end -}}
{{- end -}}

{{- define "selfalign.shares" -}}
{{- if ne .Values.scope "namespaced" }}true{{ end -}}
{{- end -}}

{{- define "selfalign.readsWorkloads" -}}
{{- if or (eq .Values.kueue.readWorkloads "Always") (and (eq .Values.kueue.readWorkloads "WithClusterScope") (eq .Values.scope "cluster")) }}true{{ end -}}
{{- end -}}

{{- /* What the operator may do in the namespaces that it watches: no Secrets, no exec, no deletion of runs. */ -}}
{{- define "selfalign.rules" -}}
- apiGroups: [selfalign.dev]
  resources: [selfalignruns]
  verbs: [get, list, watch]
- apiGroups: [selfalign.dev]
  resources: [selfalignruns/status]
  verbs: [patch]
- apiGroups: [selfalign.dev]
  resources: [selfalignruns/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [list, watch]
{{- if include "selfalign.readsWorkloads" . }}
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
{{- end }}
{{- end -}}

{{- /* What it may do in its own namespace: hold its Lease. RBAC cannot restrict create to a name. */ -}}
{{- define "selfalign.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "selfalign.name" . }}]
  verbs: [get, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end -}}

{{- /*
Whether the definition is a hook instead of a part of the manifest, which a rollback would take back with the rest.

Helm never deletes a CustomResourceDefinition that is a hook, but it can update one only by server-side apply, as Helm 4
does. In the manifest are therefore: what is rendered without a cluster (helm template, Argo CD), everything that Helm 3
renders, and a definition that was not applied by server-side apply before.
*/ -}}
{{- define "selfalign.definitionIsHook" -}}
{{- if and (not (hasPrefix "v3" .Capabilities.HelmVersion.Version)) (lookup "v1" "Namespace" "" "kube-system") -}}
{{- $existing := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "selfalignruns.selfalign.dev" -}}
{{- $applied := not $existing -}}
{{- range dig "metadata" "managedFields" list $existing -}}
{{- if and (eq .operation "Apply") (not .subresource) }}{{ $applied = true }}{{ end -}}
{{- end -}}
{{- if $applied }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Labels of every stage pod, which no template of a run can replace. */ -}}
{{- define "selfalign.stageSelector" -}}
app.kubernetes.io/name: selfalign
app.kubernetes.io/managed-by: selfalign-operator
{{- end -}}

{{- /* A policy applies behind the address translation of Services: 5353 is where DNS pods of OpenShift listen. */ -}}
{{- define "selfalign.dnsRule" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
    - {protocol: UDP, port: 5353}
    - {protocol: TCP, port: 5353}
{{- end -}}

{{- define "selfalign.tcpPorts" -}}
{{- range . }}
- {protocol: TCP, port: {{ . }}}
{{- end -}}
{{- end -}}

{{- /*
Warns of other releases whose operators watch namespaces of this one. Read are bindings in the namespaces that this
release binds itself; an operator that watches the whole cluster warns of the others in its log.
*/ -}}
{{- define "selfalign.rivals" -}}
{{- $bindings := list -}}
{{- if eq .Values.scope "cluster" -}}
{{- $bindings = concat (dig "items" list (lookup "rbac.authorization.k8s.io/v1" "ClusterRoleBinding" "" "")) (dig "items" list (lookup "rbac.authorization.k8s.io/v1" "RoleBinding" "" "")) -}}
{{- else -}}
{{- range splitList "," (include "selfalign.namespaces" .) -}}
{{- $bindings = concat $bindings (dig "items" list (lookup "rbac.authorization.k8s.io/v1" "RoleBinding" . "")) -}}
{{- end -}}
{{- end -}}
{{- $own := printf "%s/%s" .Release.Namespace .Release.Name -}}
{{- range $bindings -}}
{{- $labels := .metadata.labels | default dict -}}
{{- if and (eq (index $labels "app.kubernetes.io/name" | default "") "selfalign-operator") (not (hasSuffix "-lease" .metadata.name)) .subjects -}}
{{- $other := printf "%s/%s" (index .subjects 0).namespace (index $labels "app.kubernetes.io/instance") -}}
{{- if ne $other $own }}

WARNING: the release {{ $other }} watches {{ .metadata.namespace | default "all namespaces" }}, too. Two operators reconcile each run there, and start
its Jobs with the images of either. Uninstall one of them, or give them different namespaces (scope, watchNamespaces).
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
