import Foundation
import Testing

/// The alert rules and the dashboard, which name metrics of the code.
struct MonitoringFilesTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")

    /// The names of all metrics in the sources, in Prometheus' spelling without a suffix.
    private static let metrics: Set<String> = {
        var names: Set<String> = []
        let files = FileManager.default.enumerator(atPath: root + "/Sources")
        while let path = files?.nextObject() as? String {
            guard path.hasSuffix(".swift"),
                let text = try? String(contentsOfFile: "\(root)/Sources/\(path)", encoding: .utf8)
            else { continue }
            for match in text.matches(of: /label: "eventbus\.([a-z_.]+)"/) { names.insert("eventbus.\(match.1)") }
            // The gauges of a transport have a common prefix.
            for match in text.matches(of: /gauge\("([a-z_.]+)"/) { names.insert("eventbus.transport.\(match.1)") }
        }
        return Set(names.map { $0.replacing(".", with: "_") })
    }()

    private func unknownMetrics(in text: String) -> [String] {
        let suffixes = ["", "_total", "_seconds", "_seconds_bucket"]
        let used = Set(text.matches(of: /eventbus_[a-z_]+/).map { String($0.0) })
        return used.filter { name in
            !suffixes.contains { name.hasSuffix($0) && Self.metrics.contains(String(name.dropLast($0.count))) }
        }.sorted()
    }

    @Test(arguments: ["alerts.yaml", "dashboard.json"])
    func `every metric exists`(file: String) throws {
        let text = try String(contentsOfFile: "\(Self.root)/Tools/Monitoring/\(file)", encoding: .utf8)
        #expect(Self.metrics.count > 20, "\(Self.metrics)")
        #expect(unknownMetrics(in: text) == [])
        #expect(unknownMetrics(in: "eventbus_no_such_metric_total") == ["eventbus_no_such_metric_total"])
    }

    @Test func `the dashboard is JSON with a query in each panel`() throws {
        struct Dashboard: Decodable {
            struct Panel: Decodable {
                struct Target: Decodable { var expr: String }
                var title: String
                var targets: [Target]
            }
            var panels: [Panel]
        }
        let data = try Data(contentsOf: URL(filePath: "\(Self.root)/Tools/Monitoring/dashboard.json"))
        let dashboard = try JSONDecoder().decode(Dashboard.self, from: data)
        #expect(dashboard.panels.count > 10)
        #expect(dashboard.panels.allSatisfy { panel in panel.targets.allSatisfy { $0.expr.contains("eventbus_") } })
    }
}
