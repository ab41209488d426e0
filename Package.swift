// swift-tools-version: 6.2

import PackageDescription

// `Scripts/package` compiles the library once for itself and for the packages beside it. The examples read configuration from
// JSON files, so Configuration then needs the trait for them from the start.
let isSharedBuild = Context.environment["EVENTBUS_SHARED_BUILD"] != nil

let package = Package(
    name: "swift-event-bus",
    // For inline arrays and spans. The targets with a C library have only been built on Linux.
    platforms: [.macOS(.v26), .iOS(.v26), .tvOS(.v26), .watchOS(.v26), .visionOS(.v26)],
    products: [
        .library(name: "EventBus", targets: ["EventBus"]),
        .library(name: "EventBusInMemory", targets: ["EventBusInMemory"]),
        .library(name: "EventBusTesting", targets: ["EventBusTesting"]),
        .library(name: "EventBusGzip", targets: ["EventBusGzip"]),
        .library(name: "EventBusEncryption", targets: ["EventBusEncryption"]),
        .library(name: "EventBusClaimCheck", targets: ["EventBusClaimCheck"]),
        .library(name: "EventBusRabbit", targets: ["EventBusRabbit"]),
        .library(name: "EventBusRedis", targets: ["EventBusRedis"]),
        .library(name: "EventBusOutbox", targets: ["EventBusOutbox"]),
        .library(name: "EventBusPostgres", targets: ["EventBusPostgres"]),
        .library(name: "EventBusOutboxTesting", targets: ["EventBusOutboxTesting"]),
    ],
    traits: [
        .default(enabledTraits: ["SQLite"]),
        .trait(name: "SQLite", description: "Adds SQLite through GRDB to EventBusOutbox."),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", from: "1.6.3"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.7.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.2.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.3.0"),
        .package(
            url: "https://github.com/apple/swift-configuration",
            from: "1.0.0",
            traits: isSharedBuild ? ["JSON"] : []
        ),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // The JSON coder, for the other targets: no product.
        .target(name: "EventBusJSON"),
        .target(
            name: "EventBus",
            dependencies: [
                "EventBusJSON",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "Instrumentation", package: "swift-distributed-tracing"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Configuration", package: "swift-configuration"),
            ]
        ),
        .target(
            name: "EventBusInMemory",
            dependencies: [
                "EventBus",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ]
        ),
        .target(
            name: "EventBusTesting",
            dependencies: [
                "EventBus",
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .target(name: "EventBusGzip", dependencies: ["EventBus", "CZlib"]),
        .target(name: "EventBusClaimCheck", dependencies: ["EventBus"]),
        .target(name: "EventBusEncryption", dependencies: ["EventBus", "COpenSSL"]),
        .target(
            name: "ConnectionThread",
            dependencies: [
                "EventBus",
                .product(name: "HeapModule", package: "swift-collections"),
            ]
        ),
        // No `pkgConfig`: it warns every user who lacks the library, needed or not.
        .systemLibrary(name: "CRabbitMQ", providers: [.apt(["librabbitmq-dev"])]),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CPostgres", providers: [.apt(["libpq-dev"])]),
        .target(
            name: "EventBusRabbit",
            dependencies: [
                "EventBus",
                "ConnectionThread",
                "CRabbitMQ",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Configuration", package: "swift-configuration"),
            ]
        ),
        .target(
            name: "EventBusRedis",
            dependencies: [
                "EventBus",
                "ConnectionThread",
                "CHiredis",
                "COpenSSL",
                "CZlib",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Configuration", package: "swift-configuration"),
            ]
        ),
        .target(
            name: "EventBusOutbox",
            dependencies: [
                "EventBus",
                "EventBusJSON",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "GRDB", package: "GRDB.swift", condition: .when(traits: ["SQLite"])),
            ]
        ),
        .target(
            name: "EventBusPostgres",
            dependencies: [
                "EventBus",
                "EventBusOutbox",
                "ConnectionThread",
                "CPostgres",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Configuration", package: "swift-configuration"),
            ]
        ),
        .target(
            name: "EventBusOutboxTesting",
            dependencies: [
                "EventBus",
                "EventBusInMemory",
                "EventBusOutbox",
                "EventBusTesting",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(name: "EventBusJSONTests", dependencies: ["EventBusJSON"]),
        .testTarget(
            name: "EventBusTests",
            dependencies: [
                "EventBus",
                "EventBusInMemory",
                "EventBusTesting",
                .product(name: "Tracing", package: "swift-distributed-tracing"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "InMemoryLogging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(
            name: "EventBusInMemoryTests",
            dependencies: ["EventBus", "EventBusInMemory", "EventBusTesting"]
        ),
        .testTarget(
            name: "EventBusTestingTests",
            dependencies: [
                "EventBus",
                "EventBusInMemory",
                "EventBusTesting",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "InMemoryLogging", package: "swift-log"),
            ]
        ),
        .testTarget(
            name: "EventBusGzipTests",
            dependencies: ["EventBus", "EventBusGzip", "EventBusInMemory", "EventBusTesting"]
        ),
        .testTarget(
            name: "EventBusEncryptionTests",
            dependencies: ["EventBus", "EventBusEncryption", "EventBusGzip", "EventBusInMemory", "EventBusTesting"]
        ),
        .testTarget(
            name: "EventBusClaimCheckTests",
            dependencies: ["EventBus", "EventBusClaimCheck", "EventBusInMemory", "EventBusTesting"]
        ),
        .testTarget(name: "ConnectionThreadTests", dependencies: ["ConnectionThread", "EventBus"]),
        .testTarget(
            name: "EventBusRabbitTests",
            dependencies: [
                "EventBus",
                "EventBusClaimCheck",
                "EventBusEncryption",
                "EventBusGzip",
                "EventBusRabbit",
                "EventBusInMemory",
                "EventBusTesting",
                "ConnectionThread",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "InMemoryLogging", package: "swift-log"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "Configuration", package: "swift-configuration"),
            ],
            exclude: ["Interoperation/pika_client.py"]
        ),
        .testTarget(
            name: "EventBusRedisTests",
            dependencies: [
                "EventBus",
                "EventBusInMemory",
                "EventBusRedis",
                "EventBusTesting",
                "ConnectionThread",
                "CHiredis",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Configuration", package: "swift-configuration"),
            ]
        ),
        .testTarget(
            name: "EventBusOutboxTests",
            dependencies: [
                "EventBus",
                "EventBusInMemory",
                "EventBusOutbox",
                "EventBusOutboxTesting",
                "EventBusTesting",
                .product(name: "GRDB", package: "GRDB.swift", condition: .when(traits: ["SQLite"])),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "InMemoryLogging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(
            name: "EventBusPostgresTests",
            dependencies: [
                "EventBus",
                "EventBusInMemory",
                "EventBusOutbox",
                "EventBusOutboxTesting",
                "EventBusPostgres",
                "EventBusTesting",
                "ConnectionThread",
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            exclude: ["Interoperation/psycopg_client.py"]
        ),
    ],
    swiftLanguageModes: [.v6]
)

/// Targets whose every unsafe construct has to be marked and argued for.
let strictlySafeTargets: Set<String> = ["EventBus", "EventBusInMemory"]

for target in package.targets where target.type != .system {
    var settings = target.swiftSettings ?? []
    settings += [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .treatAllWarnings(as: .error),
        .treatWarning("DeprecatedDeclaration", as: .warning),
    ]
    if strictlySafeTargets.contains(target.name) {
        settings.append(.strictMemorySafety())
    }
    target.swiftSettings = settings
}

// For a short build with the thread sanitizer: core, the in-memory broker and the test kit.
if Context.environment["EVENTBUS_CORE_ONLY"] != nil {
    let core = ["EventBusJSON", "EventBus", "EventBusInMemory", "EventBusTesting"]
    package.products.removeAll { !core.contains($0.name) }
    package.targets.removeAll {
        !core.contains($0.name) && !(core.contains(String($0.name.dropLast(5))) && $0.type == .test)
    }
}
