// SPDX-License-Identifier: Apache-2.0

package sandbox

// mostAudit bounds the audit list; the oldest events go first.
const mostAudit = 10_000

type auditEvent struct {
	ID           string         `json:"id"`
	Actor        string         `json:"actor"`
	Type         string         `json:"type"`
	ResourceType string         `json:"resourceType"`
	ResourceID   string         `json:"resourceId"`
	Payload      map[string]any `json:"payload"`
	CreatedAt    string         `json:"createdAt"`

	machineID string
}

// record notes a change of state in the audit list and in the journal. The payload holds no secret.
func (m *Market) record(actor, kind, resource, id, machineID string, payload map[string]any) {
	shown := map[string]any{"machineId": machineID}
	for k, v := range payload {
		shown[k] = v
	}
	m.audit = append(m.audit, auditEvent{ID: m.ids.next("aud"), Actor: actor, Type: kind, ResourceType: resource, ResourceID: id,
		Payload: shown, CreatedAt: stamp(m.now()), machineID: machineID})
	if len(m.audit) > mostAudit {
		m.audit = append([]auditEvent{}, m.audit[len(m.audit)-mostAudit/2:]...)
	}
	m.journal.state(kind, id, shown)
}

func (m *Market) listAudit(c *call) (answer, error) {
	limit, err := limitOf(c.query)
	if err != nil {
		return answer{}, err
	}
	machineID, resource := c.query.Get("machineId"), c.query.Get("resourceType")
	reply := list[auditEvent]{Items: []auditEvent{}}
	for i := len(m.audit) - 1; i >= 0 && len(reply.Items) < limit; i-- {
		event := m.audit[i]
		if (machineID == "" || event.machineID == machineID) && (resource == "" || event.ResourceType == resource) {
			reply.Items = append(reply.Items, event)
		}
	}
	return ok(reply)
}
