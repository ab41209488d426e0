import EventBus
import EventBusRabbit
import Foundation
import ShopData
import Testing

@testable import Fleet

extension EndToEndTests {
    private static let passwords = ["ADMIN": "a1", "ORDERS": "o1", "INVENTORY": "i1", "NOTIFICATIONS": "n1"]
    private static let logins: [ServiceKind: String] = [
        .orders: "shop-orders:o1", .inventory: "shop-inventory:i1", .notifications: "shop-notifications:n1",
    ]

    @Test("With the users of the deployment the books agree, and no service reaches another one's queues")
    func confinedUsers() async throws {
        try await TestFleet.with(
            users: { brokers, virtualHost in
                let file = URL(filePath: NSTemporaryDirectory()).appending(
                    path: "definitions-\(UUID().uuidString).json"
                )
                defer { try? FileManager.default.removeItem(at: file) }
                // The deployment has a broker of its own, the tests a virtual host.
                let definitions = try String(decoding: Deployment.definitions(Self.passwords), as: UTF8.self)
                    .replacing("\"vhost\": \"/\"", with: "\"vhost\": \"\(virtualHost)\"")
                    .replacing("{\"name\": \"/\"}", with: "{\"name\": \"\(virtualHost)\"}")
                try Data(definitions.utf8).write(to: file)
                try await brokers.importDefinitions(file: file.path(percentEncoded: false))
                for rules in try Deployment.redisUsers(Self.passwords) { try await brokers.setRedisUser(rules) }
                return Self.logins
            },
            { fleet in
                for kind in ServiceKind.allCases {
                    try await expectConfined(kind, fleet)
                    try await expectConfinedInRedis(kind, fleet)
                }
                for service in fleet.services {
                    let health = try await service.get("/health/ready")
                    #expect(health?.status == 200)
                    // A right that is missing in Redis is named there.
                    #expect(health?.text.contains("permission") == false, "\(health?.text ?? "")")
                }
                let outcome = try await FleetRun(fleet: fleet, input: TestFleet.input(60)).run()
                #expect(outcome.audit.violations == [])
                #expect(outcome.report.shop.notified == 60)
            }
        )
    }

    @Test("The script of the deployment gives each service a database, which no other one can open")
    func confinedDatabases() async throws {
        let address = try await TestFleet.postgres()
        let server = try #require(URLComponents(string: address))
        let (host, port) = (try #require(server.host), try #require(server.port))
        let script = Deployment.folder.appending(path: "postgres/init.sh").path(percentEncoded: false)
        let passwords = Self.passwords.map { "SHOP_\($0)_PASSWORD=\($1)" }
        try await Script(path: "/usr/bin/env").run(
            [
                "PGHOST=\(host)", "PGPORT=\(port)", "POSTGRES_USER=\(try #require(server.user))",
                "PGPASSWORD=\(try #require(server.password))",
            ] + passwords
                + ["sh", script]
        )
        for kind in ServiceKind.allCases {
            for other in ServiceKind.allCases {
                let login = try #require(Self.logins[kind])
                let database = "postgres://\(login)@\(host):\(port)/\(other.rawValue)"
                let creation = ["--quiet", "--command", "CREATE TABLE mine (number integer)", database]
                guard other != kind else {
                    try await Script(path: "/usr/bin/psql").run(creation)
                    continue
                }
                let problem = await #expect(throws: FleetProblem.self) {
                    try await Script(path: "/usr/bin/psql").run(creation)
                }
                #expect("\(problem as Any)".contains("permission denied for database"), "\(kind) opens \(other)")
            }
        }
    }

    /// Expects that the user of one service can read the dead letters of its own group, but neither the dead letters of
    /// another group nor its events.
    private func expectConfined(_ kind: ServiceKind, _ fleet: Fleet) async throws {
        let login = try #require(Self.logins[kind])
        let host = fleet.brokers.rabbitMQ.replacing("/%2F", with: "/\(fleet.virtualHost)")
        let configuration = try RabbitConfiguration(uri: Brokers.address(host, login: login))
        let bus = try EventBus(transport: .rabbit(configuration))
        try await bus.withRunning {
            let count = try await bus.deadLetters(of: kind.rawValue).count()
            #expect(count == 0)
            for other in ServiceKind.allCases where other != kind {
                await expectRefusal("\(kind) reads the dead letters of \(other)") {
                    _ = try await bus.deadLetters(of: other.rawValue).entries(limit: 1)
                }
            }
        }
        let publisher = try EventBus(transport: .rabbit(configuration))
        try await publisher.withRunning {
            let foreign: Topic = kind == .orders ? "stock.reserved" : "order.created"
            for delay in [Duration.zero, .seconds(60)] {
                await expectRefusal("\(kind) publishes \(foreign) after \(delay)") {
                    let options = PublishOptions(delay: delay)
                    _ = try await publisher.publish(Envelope(topic: foreign, payload: []), options: options)
                }
            }
        }
        for other in ServiceKind.allCases where other != kind {
            let spy = try EventBus(transport: .rabbit(configuration))
            spy.subscribe(to: "#", group: other.rawValue, name: "spy") { _, _ in }
            await expectRefusal("\(kind) subscribes as \(other)") { try await spy.run() }
        }
    }

    /// Expects that the user of one service can use its own keys in Redis, but not those of others.
    private func expectConfinedInRedis(_ kind: ServiceKind, _ fleet: Fleet) async throws {
        let login = try #require(Self.logins[kind])
        let address = Brokers.address(fleet.brokers.redis, login: login)
        let prefixes: [ServiceKind: String] = [
            .orders: "shop.orders", .inventory: "inventory", .notifications: "notifications",
        ]
        for (owner, prefix) in prefixes {
            let answer = try await Script(path: "/usr/bin/redis-cli").run(["-u", address, "GET", "\(prefix):cache:x"])
            #expect(answer.contains("NOPERM") == (owner != kind), "\(kind) reads \(prefix): \(answer)")
        }
    }

    private func expectRefusal(_ comment: Comment, _ body: () async throws -> Void) async {
        do {
            try await body()
            Issue.record("no error: \(comment)")
        } catch {
            #expect((error as? EventBusError)?.code == .accessRefused, comment)
        }
    }
}
