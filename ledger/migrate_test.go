// SPDX-License-Identifier: Apache-2.0

package ledger

import "testing"

// The version that the program knows is the number of its migrations.
func TestSchemaVersionIsTheNewestMigration(t *testing.T) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := schemaVersion, len(files); got != want {
		t.Errorf("schemaVersion: got %d, want %d", got, want)
	}
}
