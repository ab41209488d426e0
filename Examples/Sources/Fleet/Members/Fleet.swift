import Foundation
import ShopData

/// The services of the shop as processes, connected by brokers.
public struct Fleet: Sendable {
    /// The configuration of a fleet.
    public struct Configuration: Sendable {
        /// The locations of the programs.
        public var places: FleetPlaces
        /// The existing directory for databases, mail, logs and spans.
        public var directory: String
        /// The number of inventory services that share one database.
        public var replicas: Int
        /// The maximum number of concurrent requests to a service.
        public var connections: Int
        /// The user and the password of each kind of service for RabbitMQ, as `name:password`. Defaults to the user of
        /// the brokers' address.
        public var logins: [ServiceKind: String] = [:]

        /// Creates a configuration.
        public init(places: FleetPlaces, directory: String, replicas: Int = 1, connections: Int = 16) {
            self.places = places
            self.directory = directory
            self.replicas = max(1, replicas)
            self.connections = connections
        }
    }

    /// The brokers.
    public let brokers: Brokers
    /// The virtual host that the services use.
    public let virtualHost: String
    /// The services: orders, the inventory's replicas, notifications.
    public let services: [ServiceProcess]
    /// The HTTP client.
    public let client: ServiceClient
    /// The directory of databases, mail, logs and spans.
    public let directory: String

    /// Starts a fleet, waits until it is ready, and runs `body` with it. No process is left behind, however that ends.
    ///
    /// - Parameters:
    ///   - configuration: The configuration of the fleet.
    ///   - brokers: Running brokers, which are not stopped, with a virtual host and the number of a Redis database for
    ///     this fleet, or `nil` to start brokers.
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
                redis: "\(brokers.redis)/\(database)"
            )
            return try await fleet.running(body)
        }
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "shop-brokers-\(UUID().uuidString)")
        let own = try await Brokers(
            script: configuration.places.brokersScript,
            directory: folder.path(percentEncoded: false)
        )
        do {
            let fleet = Fleet(
                configuration,
                brokers: own,
                virtualHost: "/",
                rabbitMQ: own.rabbitMQ,
                redis: own.redis
            )
            let result = try await fleet.running(body)
            try await own.stop()
            return result
        } catch {
            try? await own.stop()
            throw error
        }
    }

    private init(
        _ configuration: Configuration,
        brokers: Brokers,
        virtualHost: String,
        rabbitMQ: String,
        redis: String
    ) {
        let directory = configuration.directory
        let client = ServiceClient(connections: configuration.connections, token: UUID().uuidString)
        self.brokers = brokers
        self.virtualHost = virtualHost
        self.directory = directory
        self.client = client
        func service(_ kind: ServiceKind, number: Int? = nil) -> ServiceProcess {
            var settings = ["database-path": "\(directory)/\(kind.databaseFile)"]
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
                    "REDIS_URI": redis,
                    "HTTP_TOKENS": "fleet:\(client.token)",
                ],
                client: client
            )
        }
        let replicas = configuration.replicas
        services =
            [service(.orders)]
            + (1...replicas).map { service(.inventory, number: replicas == 1 ? nil : $0) }
            + [service(.notifications)]
    }

    private static let mailFile = "mail.mbox"

    /// The file of the messages to customers.
    public var mailFile: String { "\(directory)/\(Self.mailFile)" }

    /// Returns the path of a service's database file.
    public func database(of kind: ServiceKind) -> String { "\(directory)/\(kind.databaseFile)" }

    /// Returns the first service of a kind.
    public subscript(_ kind: ServiceKind) -> ServiceProcess {
        // There is one service of each kind.
        services.first { $0.kind == kind } ?? services[0]
    }

    /// All members that can be killed.
    public var members: [any FleetMember] {
        services + [brokers.rabbitMQMember, brokers.redisMember]
    }

    private func running<Result>(_ body: (Fleet) async throws -> Result) async throws -> Result {
        do {
            try await withThrowingTaskGroup { group in
                for service in services {
                    group.addTask {
                        try await service.start()
                        try await service.ready()
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
