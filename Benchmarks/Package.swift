// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "swift-event-bus-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "swift-event-bus", path: ".."),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.3"),
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/OpenCombine/OpenCombine", from: "0.14.0"),
    ],
    targets: [
        .executableTarget(
            name: "LocalBenchmarks",
            dependencies: [
                .product(name: "EventBus", package: "swift-event-bus"),
                .product(name: "Benchmark", package: "benchmark"),
                .product(name: "OpenCombine", package: "OpenCombine"),
            ],
            path: "Benchmarks/LocalBenchmarks",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
        .executableTarget(
            name: "BusBenchmarks",
            dependencies: [
                .product(name: "EventBus", package: "swift-event-bus"),
                .product(name: "EventBusInMemory", package: "swift-event-bus"),
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/BusBenchmarks",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
        .executableTarget(
            name: "BusSoak",
            dependencies: [
                .product(name: "EventBus", package: "swift-event-bus"),
                .product(name: "EventBusInMemory", package: "swift-event-bus"),
            ]
        ),
        .target(name: "AllocationCounter"),
        // Scripts/bench-json runs it.
        .executableTarget(
            name: "JSONThroughput",
            dependencies: [
                "AllocationCounter",
                .product(name: "EventBus", package: "swift-event-bus"),
            ]
        ),
        .executableTarget(
            name: "RelayThroughput",
            dependencies: [
                .product(name: "EventBus", package: "swift-event-bus"),
                .product(name: "EventBusInMemory", package: "swift-event-bus"),
                .product(name: "EventBusOutbox", package: "swift-event-bus"),
                .product(name: "EventBusPostgres", package: "swift-event-bus"),
                .product(name: "EventBusRabbit", package: "swift-event-bus"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        // Scripts/bench-rabbit runs these two in turn.
        .executableTarget(
            name: "RabbitThroughput",
            dependencies: [
                .product(name: "EventBus", package: "swift-event-bus"),
                .product(name: "EventBusRabbit", package: "swift-event-bus"),
            ]
        ),
        // Scripts/bench-redis runs it beside redis-benchmark.
        .executableTarget(
            name: "RedisThroughput",
            dependencies: [
                .product(name: "EventBus", package: "swift-event-bus"),
                .product(name: "EventBusRedis", package: "swift-event-bus"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        // Scripts/soak runs it.
        .executableTarget(
            name: "Soak",
            dependencies: [
                "SoakAudit",
                .product(name: "EventBus", package: "swift-event-bus"),
                .product(name: "EventBusRabbit", package: "swift-event-bus"),
                .product(name: "EventBusRedis", package: "swift-event-bus"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .target(name: "SoakAudit"),
        .testTarget(name: "SoakAuditTests", dependencies: ["SoakAudit"]),
        .executableTarget(
            name: "RabbitPeer",
            cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Wno-deprecated-declarations"])],
            linkerSettings: [.linkedLibrary("rabbitmq")]
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.type == .executable || target.name.hasPrefix("Soak") {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
