"""What a conformance check finds, and the source file of Grafana's that each of its rules follows."""

from __future__ import annotations

import msgspec

_PROVISIONING = "pkg/services/provisioning"
_DATA = "packages/grafana-data/src"

SOURCES = {
    # Provisioning files.
    "readable": f"{_PROVISIONING}/alerting/config_reader.go",
    "annotation-pair": "pkg/services/ngalert/models/alert_rule.go",
    "annotations-raw": f"{_PROVISIONING}/alerting/rules_types.go",
    "labels-expanded": f"{_PROVISIONING}/values/values.go",
    "rule-states": "pkg/services/ngalert/models/alert_rule.go",
    "rule-durations": f"{_PROVISIONING}/alerting/rules_types.go",
    "rule-steps": f"{_PROVISIONING}/alerting/rules_types.go",
    "rule-query-raw": f"{_PROVISIONING}/alerting/rules_types.go",
    "rule-unique": "pkg/services/ngalert/store/alert_rule.go",
    "one-folder": f"{_PROVISIONING}/alerting/rules_provisioner.go",
    "uids": "pkg/util/shortid_generator.go",
    "contact-points": f"{_PROVISIONING}/alerting/contact_point_types.go",
    "policies": f"{_PROVISIONING}/alerting/notification_policy_types.go",
    "templates": f"{_PROVISIONING}/alerting/text_templates_types.go",
    "datasources": f"{_PROVISIONING}/datasources/types.go",
    "providers": f"{_PROVISIONING}/dashboards/config_reader.go",
    # Dashboards.
    "classic-json": f"{_PROVISIONING}/dashboards/file_reader.go",
    "panel-type": "public/app/plugins/panel",
    "panel-options": "public/app/plugins/panel",
    "stat-time": "public/app/plugins/panel/stat/panelcfg.gen.ts",
    "rows-per-page": "public/app/plugins/panel/state-timeline/panelcfg.gen.ts",
    "transformations": f"{_DATA}/transformations/transformers/ids.ts",
    "matchers": f"{_DATA}/transformations/matchers/ids.ts",
    "properties": f"{_DATA}/field/standardFieldConfigEditorRegistry.ts",
    "units": f"{_DATA}/valueFormats/categories.ts",
    "colors": f"{_DATA}/field/fieldColor.ts",
    "macros": "pkg/tsdb/influxdb/models/query.go",
    "variables": "public/app/features/variables/utils.ts",
    "known-datasource": f"{_PROVISIONING}/datasources/types.go",
}
"""Rule to the file in Grafana's repository."""


class Finding(msgspec.Struct, frozen=True):
    """A broken rule. text: what is wrong, where in the file, and what to write; rule: a key of SOURCES."""

    rule: str
    text: str
    file: str = ""

    def in_file(self, file: str) -> Finding:
        """The same, of a file."""
        return Finding(self.rule, self.text, file)
