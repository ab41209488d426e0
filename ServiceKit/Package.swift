// swift-tools-version: 6.2

import PackageDescription

func library(_ name: String) -> Target.Dependency { .product(name: name, package: "swift-event-bus") }

let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdTesting: Target.Dependency = .product(name: "HummingbirdTesting", package: "hummingbird")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let tracing: Target.Dependency = .product(name: "Tracing", package: "swift-distributed-tracing")

// `Scripts/package` compiles the library once for all packages, with the same traits.
let isSharedBuild = Context.environment["EVENTBUS_SHARED_BUILD"] != nil

let package = Package(
    name: "swift-event-bus-service-kit",
    products: [
        .library(name: "EventBusServiceKit", targets: ["EventBusServiceKit"])
    ],
    dependencies: [
        .package(name: "swift-event-bus", path: "..", traits: isSharedBuild ? [.defaults] : []),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.0.0", traits: ["JSON"]),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.2.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.3"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.7.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
    ],
    targets: [
        // Of the library only the core, so that a service links no C library that it does not use.
        .target(
            name: "EventBusServiceKit",
            dependencies: [
                library("EventBus"), httpTypes, hummingbird, logging, metrics, coreMetrics, nioCore, nioHTTP1,
                systemPackage, tracing, configuration, lifecycle,
            ]
        ),
        .testTarget(
            name: "EventBusServiceKitTests",
            dependencies: [
                "EventBusServiceKit", library("EventBus"), library("EventBusInMemory"), library("EventBusRabbit"),
                library("EventBusRedis"), httpTypes, hummingbird, hummingbirdTesting, logging, metrics, coreMetrics,
                nioCore, nioEmbedded, tracing, configuration, lifecycle,
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets {
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
