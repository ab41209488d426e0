import Foundation
import Testing

@testable import Fleet

/// The files in `Deploy`, which are read as text because there is no container engine.
struct DeploymentFilesTests {
    private func file(_ name: String) throws -> String {
        try String(contentsOf: Deployment.folder.appending(path: name), encoding: .utf8)
    }

    private func values(_ key: String, in text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            let line = line.drop { $0 == " " }
            return line.hasPrefix(key) ? String(line.dropFirst(key.count).drop { $0 == " " }) : nil
        }
    }

    @Test func `every image is that of a release, and is named by its digest`() throws {
        let compose = try values("image:", in: file("compose.yaml")).filter { !$0.hasPrefix("shop/") }
        let bases = try values("ARG ", in: file("Dockerfile"))
        let images = compose + bases
        #expect(images.count == 5)
        for image in images {
            #expect(
                image.contains(
                    /^(\$\{)?[A-Z_]+_IMAGE(:-|=)[a-z]+:([0-9]+\.){1,2}[0-9]+-[a-z]+@sha256:[0-9a-f]{64}\}?$/
                ) || image.contains(/^RUNTIME_IMAGE=debian:[a-z]+-20[0-9]{6}-slim@sha256:[0-9a-f]{64}$/),
                "\(image)"
            )
        }
        for base in try values("FROM ", in: file("Dockerfile")) {
            #expect(base.hasPrefix("${") || base.hasPrefix("runtime AS "), "\(base)")
        }
        #expect(try file("Dockerfile").contains("--force-resolved-versions"))
        #expect(try file("Dockerfile").contains(" Examples/Package.resolve[d] "))
        #expect(try file("Dockerfile.dockerignore").contains("\n!Examples/Package.resolved\n"))
    }

    @Test func `each service has limits, secrets and a user of its own`() throws {
        let units = ["shop-orders.service", "shop-inventory@.service", "shop-notifications.service"]
        var (secrets, accounts): (Set<String>, Set<String>) = ([], [])
        for unit in units {
            let text = try file("systemd/\(unit)")
            for limit in ["LimitNOFILE=", "MemoryMax=", "TasksMax=", "NoNewPrivileges=yes"] {
                #expect(text.contains("\n\(limit)"), "\(limit) in \(unit)")
            }
            secrets.formUnion(values("EnvironmentFile=", in: text))
            accounts.formUnion(values("User=", in: text))
        }
        #expect(secrets.count == 3)
        let users = try values("u ", in: file("systemd/shop.sysusers")).compactMap { $0.split(separator: " ").first }
        #expect(accounts == Set(users.map { String($0) }))
        #expect(accounts.count == 3)
        var logins: Set<String> = []
        for secret in secrets {
            let text = try file("systemd/\(URL(filePath: secret).lastPathComponent)")
            logins.formUnion(values("RABBITMQ_URI=", in: text))
            logins.formUnion(values("#DATABASE=", in: text))
            logins.formUnion(values("REDIS_URI=", in: text))
            #expect(values("HTTP_TOKENS=", in: text) == [""])
        }
        #expect(logins.count == 9)
        let compose = try file("compose.yaml")
        #expect(Set(values("RABBITMQ_URI:", in: compose)).count == 3)
        #expect(Set(values("DATABASE:", in: compose)).count == 3)
        #expect(Set(values("REDIS_URI:", in: compose)).count == 3)
        #expect(Set(values("HTTP_TOKENS:", in: compose)).count == 3)
        for limit in ["mem_limit:", "pids_limit:", "nofile:"] { #expect(!values(limit, in: compose).isEmpty) }
    }

    @Test func `the definitions of the broker give each service its own rights`() throws {
        let output = try Deployment.definitions([
            "ADMIN": "a1", "ORDERS": "o1", "INVENTORY": "i1", "NOTIFICATIONS": "n1",
        ])
        struct Definitions: Decodable {
            struct User: Decodable { var name, password, tags: String }
            struct Permission: Decodable { var user, vhost, configure, write, read: String }
            struct TopicPermission: Decodable { var user, vhost, exchange, write, read: String }
            var users: [User]
            var permissions: [Permission]
            var topicPermissions: [TopicPermission]
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let definitions = try decoder.decode(Definitions.self, from: output)
        #expect(definitions.users.filter { $0.tags == "administrator" }.map(\.name) == ["shop-admin"])
        for permission in definitions.permissions where permission.user != "shop-admin" {
            let group = String(permission.user.dropFirst("shop-".count))
            for pattern in [permission.configure, permission.write, permission.read] {
                let expression = try Regex(pattern)
                for name in ["events", "eventbus.delay.v1.0", "\(group).dead"] {
                    #expect(try expression.firstMatch(in: name) != nil, "\(permission.user): \(name)")
                }
                for name in ["amq.default", "vault", "x\(group).dead", "eventbus", "\(group)"] {
                    #expect(try expression.firstMatch(in: name) == nil, "\(permission.user): \(name)")
                }
            }
        }
        let topics = ["shop-orders": "order.created", "shop-inventory": "stock.rejected", "shop-notifications": nil]
        #expect(Set(definitions.topicPermissions.map(\.user)) == Set(topics.keys))
        let levels = (0..<20).map { "eventbus.delay.v1.\($0)" }
        for user in topics.keys {
            let exchanges = definitions.topicPermissions.filter { $0.user == user }.map(\.exchange)
            #expect(exchanges.sorted() == (["events"] + levels).sorted())
        }
        let bits = String(repeating: "0.1.", count: 10)
        for permission in definitions.topicPermissions where permission.exchange != "events" {
            let expression = try Regex(permission.write)
            for topic in ["order.created", "stock.rejected", "xorder.created", "order.created.x"] {
                let isAllowed = try expression.firstMatch(in: "\(bits)e.0123abcd.\(topic)") != nil
                #expect(isAllowed == (topics[permission.user] == topic), "\(permission.user): \(topic)")
            }
            for kind in ServiceKind.allCases {
                let isAllowed = try expression.firstMatch(in: "\(bits)r.\(kind.rawValue).queue") != nil
                #expect(isAllowed == (permission.user == "shop-\(kind.rawValue)"), "\(permission.user): \(kind)")
            }
            for key in ["", "order.created", "\(bits)t.order.created", "\(bits)q.orders.queue", "r.orders.queue"] {
                #expect(try expression.firstMatch(in: key) == nil, "\(permission.user): \(key)")
            }
        }
        for permission in definitions.topicPermissions where permission.exchange == "events" {
            let expression = try Regex(permission.write)
            for topic in ["order.created", "stock.rejected", "xorder.created", "order.created.x", "a.order.created"] {
                let isAllowed = try expression.firstMatch(in: topic) != nil
                #expect(isAllowed == (topics[permission.user] == topic), "\(permission.user): \(topic)")
            }
        }
        #expect(throws: FleetProblem.self) { try Deployment.definitions(["ADMIN": "a\"b"]) }
    }
}
