// swift-tools-version: 6.2

import PackageDescription

let eventBus: Target.Dependency = .product(name: "EventBus", package: "swift-event-bus")

let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdTesting: Target.Dependency = .product(name: "HummingbirdTesting", package: "hummingbird")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let tracing: Target.Dependency = .product(name: "Tracing", package: "swift-distributed-tracing")
let serviceKit: Target.Dependency = .product(name: "EventBusServiceKit", package: "swift-event-bus-service-kit")
let terminalText: Target.Dependency = .product(name: "TerminalText", package: "swift-event-bus-tools")
let eventStory: Target.Dependency = .product(name: "EventStory", package: "swift-event-bus-tools")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

func library(_ name: String) -> Target.Dependency { .product(name: name, package: "swift-event-bus") }

/// What the three servers have in common.
let server: [Target.Dependency] = [
    "ShopEvents", "ShopServer", "ServiceStorage", "PostgresDriver", serviceKit, library("EventBus"),
    library("EventBusOutbox"), library("EventBusRedis"), grdb, httpTypes, hummingbird, logging, metrics, tracing,
    configuration, lifecycle, terminalText,
]

let package = Package(
    name: "swift-event-bus-examples",
    products: [
        .library(name: "ShopEvents", targets: ["ShopEvents"]),
        .library(name: "OrderService", targets: ["OrderService"]),
        .library(name: "InventoryService", targets: ["InventoryService"]),
        .library(name: "NotificationService", targets: ["NotificationService"]),
        .executable(name: "Shop", targets: ["Shop"]),
        .executable(name: "order-service", targets: ["OrderServer"]),
        .executable(name: "inventory-service", targets: ["InventoryServer"]),
        .executable(name: "notification-service", targets: ["NotificationServer"]),
        .executable(name: "ShopFleet", targets: ["ShopFleet"]),
    ],
    dependencies: [
        .package(name: "swift-event-bus", path: ".."),
        .package(name: "swift-event-bus-service-kit", path: "../ServiceKit"),
        .package(name: "swift-event-bus-tools", path: "../Tools"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.0.0", traits: ["JSON"]),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.2.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.3"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.7.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
    ],
    targets: [
        .target(name: "ShopEvents", dependencies: [terminalText, eventBus]),
        .target(name: "OrderService", dependencies: ["ShopEvents", eventBus]),
        .target(name: "InventoryService", dependencies: ["ShopEvents", eventBus]),
        .target(name: "NotificationService", dependencies: ["ShopEvents", eventBus]),
        .target(
            name: "ShopData",
            dependencies: ["ShopEvents", terminalText, "OrderService", "InventoryService", "NotificationService"]
        ),
        .executableTarget(
            name: "Shop",
            dependencies: [
                "ShopData",
                "ShopEvents",
                "OrderService",
                "InventoryService",
                "NotificationService",
                terminalText,
                eventBus,
                library("EventBusInMemory"),
                library("EventBusRabbit"),
                library("EventBusRedis"),
                arguments,
                logging,
                lifecycle,
                signals,
            ]
        ),
        .target(name: "BlockingExecutor"),
        .systemLibrary(name: "CLibpq", providers: [.apt(["libpq-dev"])]),
        // A client of PostgreSQL that knows nothing of the event bus.
        .target(name: "PostgresDriver", dependencies: ["CLibpq", "BlockingExecutor"]),
        .target(
            name: "ServiceStorage",
            dependencies: [
                "PostgresDriver", eventBus, library("EventBusOutbox"), library("EventBusPostgres"), grdb, logging,
            ]
        ),
        .target(
            name: "ShopServer",
            dependencies: [
                "ServiceStorage", serviceKit, eventBus, library("EventBusRabbit"), library("EventBusRedis"), grdb,
                httpTypes, hummingbird, logging, systemPackage, configuration, terminalText,
            ]
        ),
        .executableTarget(name: "OrderServer", dependencies: server + ["OrderService", "ShopData"]),
        .executableTarget(name: "InventoryServer", dependencies: server + ["InventoryService", "ShopData"]),
        .systemLibrary(name: "CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .executableTarget(
            name: "NotificationServer",
            dependencies: server + ["NotificationService", "BlockingExecutor", "CCurl"]
        ),
        .target(
            name: "Fleet",
            dependencies: [
                "ShopData", "ShopEvents", "ServiceStorage", "PostgresDriver", eventBus, eventStory, terminalText,
                "OrderService", "InventoryService", "NotificationService", grdb, logging,
                .product(name: "Subprocess", package: "swift-subprocess"),
                systemPackage,
            ],
            path: "Fleet/Sources/Fleet"
        ),
        .executableTarget(
            name: "ShopFleet",
            dependencies: ["Fleet", "ShopData", terminalText, arguments, signals],
            path: "Fleet/Sources/ShopFleet"
        ),
        .testTarget(
            name: "ShopTests",
            dependencies: [
                "Shop",
                "ShopData",
                "ShopEvents",
                "OrderService",
                "InventoryService",
                "NotificationService",
                eventBus,
                library("EventBusInMemory"),
            ]
        ),
        // What the tests of the services have in common.
        .target(
            name: "ServiceTestKit",
            dependencies: [serviceKit, grdb, hummingbird, hummingbirdTesting, logging],
            path: "Tests/ServiceTestKit"
        ),
        .testTarget(
            name: "ShopServerTests",
            dependencies: [
                "ShopServer", "ServiceStorage", "ServiceTestKit", serviceKit, eventBus, grdb, hummingbird,
                hummingbirdTesting, configuration, logging,
            ]
        ),
        .testTarget(
            name: "OrderServerTests",
            dependencies: server + [
                "OrderServer", "OrderService", "ServiceTestKit", library("EventBusInMemory"), hummingbirdTesting,
            ]
        ),
        .testTarget(
            name: "InventoryServerTests",
            dependencies: server + [
                "InventoryServer", "InventoryService", "ServiceTestKit", "ShopData", library("EventBusInMemory"),
                library("EventBusTesting"), hummingbirdTesting,
            ]
        ),
        .testTarget(
            name: "NotificationServerTests",
            dependencies: server + [
                "NotificationServer", "NotificationService", "ServiceTestKit", library("EventBusInMemory"),
                library("EventBusTesting"), hummingbirdTesting,
            ],
            exclude: ["Support/read_mailbox.py", "Support/smtp_server.py"]
        ),
        // It runs the services as processes, so they have to be built with it.
        .testTarget(
            name: "FleetTests",
            dependencies: [
                "Fleet", "PostgresDriver", "Shop", "ShopData", "ShopFleet", "OrderServer", "InventoryServer",
                "NotificationServer", eventStory, library("EventBus"), library("EventBusRabbit"),
            ],
            path: "Fleet/Tests/FleetTests"
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system {
    target.swiftSettings =
        (target.swiftSettings ?? []) + [
            .enableUpcomingFeature("ExistentialAny"),
            .enableUpcomingFeature("MemberImportVisibility"),
            .enableUpcomingFeature("InternalImportsByDefault"),
            .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
            .treatAllWarnings(as: .error),
            .treatWarning("DeprecatedDeclaration", as: .warning),
        ]
}
