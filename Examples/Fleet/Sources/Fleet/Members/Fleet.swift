import Foundation
internal import GRDB
import Logging
internal import ServiceStorage
import ShopData

/// The services of the shop as processes, connected by brokers.
public struct Fleet: Sendable {
    /// The configuration of a fleet.
    public struct Configuration: Sendable {
        /// The locations of the programs.
        public var places: FleetPaths
        /// The existing directory for databases, mail, logs and spans.
        public var directory: String
        /// The number of inventory services that share one database. With PostgreSQL, the number of services of each kind.
        public var replicas: Int
        /// A Boolean value indicating whether the services keep their data in PostgreSQL instead of SQLite.
        public var usesPostgres: Bool
        /// The maximum number of concurrent requests to a service.
        public var connections: Int
        /// The user and the password of each kind of service for RabbitMQ, as `name:password`. Defaults to the user of
        /// the brokers' address.
        public var logins: [ServiceKind: String] = [:]

        /// Creates a configuration.
        public init(
            places: FleetPaths,
            directory: String,
            replicas: Int = 1,
            usesPostgres: Bool = false,
            connections: Int = 16
        ) {
            self.places = places
            self.directory = directory
            self.replicas = max(1, replicas)
            self.usesPostgres = usesPostgres
            self.connections = connections
        }
    }

    /// The brokers.
    public let brokers: Brokers
    /// The virtual host that the services use.
    public let virtualHost: String
    /// The services: orders, inventory, notifications, each with its replicas.
    public let services: [ServiceProcess]
    /// The connection strings of the services' databases in PostgreSQL. It is empty with SQLite.
    private let schemas: [ServiceKind: String]
    /// The HTTP client.
    public let client: ServiceClient
    /// The directory of databases, mail, logs and spans.
    public let directory: String

    /// Starts a fleet, waits until it is ready, and runs `body` with it. No process is left behind, however that ends.
    ///
    /// - Parameters:
    ///   - configuration: The configuration of the fleet.
    ///   - brokers: Running brokers, which are not stopped, with a virtual host and the number of a Redis database for
    ///     this fleet, or `nil` to start brokers. Those that are running include PostgreSQL if the fleet uses it.
    ///   - body: The closure that uses the fleet.
    public static func withFleet<Result: Sendable>(
        _ configuration: Configuration,
        on brokers: (Brokers, virtualHost: String, database: Int)? = nil,
        _ body: (Fleet) async throws -> Result
    ) async throws -> Result {
        if let (brokers, virtualHost, database) = brokers {
            let rabbitMQ = try await brokers.addVirtualHost(virtualHost)
            let fleet = Fleet(
                configuration,
                brokers: brokers,
                virtualHost: virtualHost,
                rabbitMQ: rabbitMQ,
                redis: "\(brokers.redis)/\(database)",
                schemas: try await schemas(configuration, brokers, prefix: "fleet_\(database)_")
            )
            return try await fleet.running(body)
        }
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "shop-brokers-\(UUID().uuidString)")
        let own = try await Brokers(
            script: configuration.places.brokersScript,
            directory: folder.path(percentEncoded: false),
            withPostgres: configuration.usesPostgres
        )
        do {
            let fleet = Fleet(
                configuration,
                brokers: own,
                virtualHost: "/",
                rabbitMQ: own.rabbitMQ,
                redis: own.redis,
                schemas: try await schemas(configuration, own, prefix: "")
            )
            let result = try await fleet.running(body)
            try await own.stop()
            return result
        } catch {
            try? await own.stop()
            throw error
        }
    }

    /// Creates a schema in PostgreSQL for each kind of service, if the fleet uses it.
    private static func schemas(
        _ configuration: Configuration,
        _ brokers: Brokers,
        prefix: String
    ) async throws -> [ServiceKind: String] {
        guard configuration.usesPostgres else { return [:] }
        var schemas: [ServiceKind: String] = [:]
        for kind in ServiceKind.allCases { schemas[kind] = try await brokers.addSchema(prefix + kind.rawValue) }
        return schemas
    }

    private init(
        _ configuration: Configuration,
        brokers: Brokers,
        virtualHost: String,
        rabbitMQ: String,
        redis: String,
        schemas: [ServiceKind: String]
    ) {
        let directory = configuration.directory
        let client = ServiceClient(connections: configuration.connections, token: UUID().uuidString)
        self.brokers = brokers
        self.virtualHost = virtualHost
        self.directory = directory
        self.client = client
        self.schemas = schemas
        func service(_ kind: ServiceKind, number: Int? = nil) -> ServiceProcess {
            var settings =
                schemas[kind].map { ["database": $0] } ?? ["database-path": "\(directory)/\(kind.databaseFile)"]
            // Historic orders were placed at the prices and discounts of their day.
            if kind == .orders { settings["prices-from-clients"] = "true" }
            if kind == .notifications { settings["mail-file"] = "\(directory)/\(Self.mailFile)" }
            return ServiceProcess(
                kind,
                name: kind.executable + (number.map { "-\($0)" } ?? ""),
                executable: "\(configuration.places.executables)/\(kind.executable)",
                directory: directory,
                settings: settings,
                environment: [
                    "RABBITMQ_URI": configuration.logins[kind].map { Brokers.address(rabbitMQ, login: $0) } ?? rabbitMQ,
                    "REDIS_URI": configuration.logins[kind].map { Brokers.address(redis, login: $0) } ?? redis,
                    "HTTP_TOKENS": "fleet:\(client.token)",
                ],
                client: client
            )
        }
        services = ServiceKind.allCases.flatMap { kind in
            // Only the inventory has locks that let several processes share an SQLite database.
            let replicas = kind == .inventory || configuration.usesPostgres ? configuration.replicas : 1
            return (1...replicas).map { service(kind, number: replicas == 1 ? nil : $0) }
        }
    }

    private static let mailFile = "mail.mbox"

    /// The file of the messages to customers.
    public var mailFile: String { "\(directory)/\(Self.mailFile)" }

    /// Returns the database of a kind of service, to read it.
    func database(of kind: ServiceKind) throws -> SQLDatabase {
        if let schema = schemas[kind] { return try SQLDatabase(postgres: schema, logger: Logger(label: "fleet")) }
        var configuration = GRDB.Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(10)
        configuration.label = kind.databaseFile
        return .sqlite(try DatabaseQueue(path: "\(directory)/\(kind.databaseFile)", configuration: configuration))
    }

    /// Returns the first service of a kind.
    public subscript(_ kind: ServiceKind) -> ServiceProcess {
        // There is one service of each kind.
        services.first { $0.kind == kind } ?? services[0]
    }

    /// Returns the ports of the services of a kind.
    func ports(of kind: ServiceKind) async -> [Int] {
        var ports: [Int] = []
        for service in services where service.kind == kind { ports.append(await service.port) }
        return ports
    }

    /// Waits until a service is ready, or another one that does its work.
    ///
    /// One process writes the mail file, while its replicas wait for its end and are not ready.
    func ready(_ service: ServiceProcess) async throws {
        guard service.kind == .notifications else { return try await service.ready() }
        let replicas = services.filter { $0.kind == service.kind }
        try await wait(atMost: .seconds(60), every: .milliseconds(50), for: "readiness of \(service.name)") {
            for replica in replicas {
                if try await replica.isReady { return true }
            }
            return false
        }
    }

    /// All members that can be killed.
    public var members: [any FleetMember] {
        var members: [any FleetMember] = services + [brokers.rabbitMQMember, brokers.redisMember]
        if !schemas.isEmpty { members.append(brokers.postgresMember) }
        return members
    }

    private func running<Result>(_ body: (Fleet) async throws -> Result) async throws -> Result {
        do {
            try await withThrowingTaskGroup { group in
                for service in services {
                    group.addTask {
                        try await service.start()
                        try await ready(service)
                    }
                }
                try await group.waitForAll()
            }
            let result = try await body(self)
            await killAll()
            return result
        } catch {
            await killAll()
            throw error
        }
    }

    private func killAll() async {
        for service in services { await service.kill() }
    }

    /// Stops every service with SIGTERM.
    ///
    /// - Returns: The problems with their ends, one on each line.
    public func stopServices() async throws -> [String] {
        var problems: [String] = []
        for service in services {
            let status = try await service.terminate()
            if status != .exited(0) { problems.append("\(service.name) ended with \(status) on SIGTERM") }
        }
        return problems
    }

    /// Returns the services that ended unexpectedly, one on each line.
    public func unexpectedEnds() async -> [String] {
        var problems: [String] = []
        for service in services {
            if let status = await service.unexpectedEnd {
                problems.append("\(service.name) ended by itself with \(status); it said:\n\(service.log.tail)")
            }
        }
        return problems
    }
}
