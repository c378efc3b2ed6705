-- How Argo CD judges a SelfAlignRun: Healthy once the image for the newest spec is Ready, Degraded once it cannot be.
-- In the ConfigMap argocd-cm, under resource.customizations.health.selfalign.dev_SelfAlignRun
local health = { status = "Progressing", message = "waits for the operator" }
if obj.status == nil or obj.status.conditions == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  conditions[condition.type] = condition
end
local ready, stalled, reconciling = conditions.Ready, conditions.Stalled, conditions.Reconciling
if ready ~= nil and ready.status == "True" then
  health.status, health.message = "Healthy", obj.status.image.reference
elseif stalled ~= nil and stalled.status == "True" then
  health.status, health.message = "Degraded", stalled.reason .. ": " .. stalled.message
elseif obj.spec.suspend then
  health.status, health.message = "Suspended", "spec.suspend is true"
elseif reconciling ~= nil then
  health.message = reconciling.reason .. ": " .. reconciling.message
end
return health
