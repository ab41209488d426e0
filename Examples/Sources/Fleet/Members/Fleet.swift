import Foundation
import ShopData

/// The services of the shop as processes, with the brokers between them.
public struct Fleet: Sendable {
    /// What a fleet is made of.
    public struct Configuration: Sendable {
        /// Where the programs are.
        public var places: FleetPlaces
        /// Where databases, mail, logs and spans go; it has to exist.
        public var directory: String
        /// How many inventory services share one database.
        public var replicas: Int
        /// Requests to a service at the same time.
        public var connections: Int

        /// A configuration.
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
    /// Speaks with them.
    public let client: ServiceClient
    /// Where databases, mail, logs and spans are.
    public let directory: String

    /// Starts a fleet, waits until it is ready, and has `body` use it. However that ends, no process is left.
    ///
    /// - Parameters:
    ///   - configuration: What it is made of.
    ///   - brokers: Brokers that run already, which are left as they are, with a virtual host and the number of a Redis
    ///     database of the fleet's own; `nil` to start some.
    ///   - body: What to do with it.
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
        let (directory, client) = (configuration.directory, ServiceClient(connections: configuration.connections))
        self.brokers = brokers
        self.virtualHost = virtualHost
        self.directory = directory
        self.client = client
        func service(_ kind: ServiceKind, number: Int? = nil) -> ServiceProcess {
            var settings = ["database-path": "\(directory)/\(kind.databaseFile)"]
            if kind == .notifications { settings["mail-file"] = "\(directory)/\(Self.mailFile)" }
            return ServiceProcess(
                kind,
                name: kind.executable + (number.map { "-\($0)" } ?? ""),
                executable: "\(configuration.places.executables)/\(kind.executable)",
                directory: directory,
                settings: settings,
                environment: ["RABBITMQ_URI": rabbitMQ, "REDIS_URI": redis],
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

    /// The file that takes what customers are told.
    public var mailFile: String { "\(directory)/\(Self.mailFile)" }

    /// The database file of a service.
    public func database(of kind: ServiceKind) -> String { "\(directory)/\(kind.databaseFile)" }

    /// The first service of a kind.
    public subscript(_ kind: ServiceKind) -> ServiceProcess {
        // There is one of every kind.
        services.first { $0.kind == kind } ?? services[0]
    }

    /// All that can be killed.
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
    /// - Returns: What is wrong with how they ended, a line each.
    public func stopServices() async throws -> [String] {
        var problems: [String] = []
        for service in services {
            let status = try await service.terminate()
            if status != .exited(0) { problems.append("\(service.name) ended with \(status) on SIGTERM") }
        }
        return problems
    }

    /// The services that ended without being told to, a line each.
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
