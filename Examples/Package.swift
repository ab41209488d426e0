// swift-tools-version: 6.2

import PackageDescription

let eventBus: Target.Dependency = .product(name: "EventBus", package: "swift-event-bus")

let package = Package(
    name: "swift-event-bus-examples",
    products: [
        .library(name: "ShopEvents", targets: ["ShopEvents"]),
        .library(name: "OrderService", targets: ["OrderService"]),
        .library(name: "InventoryService", targets: ["InventoryService"]),
        .library(name: "NotificationService", targets: ["NotificationService"]),
        .executable(name: "Shop", targets: ["Shop"]),
    ],
    dependencies: [
        .package(name: "swift-event-bus", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.3"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
    ],
    targets: [
        .target(name: "ShopEvents", dependencies: [eventBus]),
        .target(name: "OrderService", dependencies: ["ShopEvents", eventBus]),
        .target(name: "InventoryService", dependencies: ["ShopEvents", eventBus]),
        .target(name: "NotificationService", dependencies: ["ShopEvents", eventBus]),
        .executableTarget(
            name: "Shop",
            dependencies: [
                "ShopEvents",
                "OrderService",
                "InventoryService",
                "NotificationService",
                eventBus,
                .product(name: "EventBusInMemory", package: "swift-event-bus"),
                .product(name: "EventBusRabbit", package: "swift-event-bus"),
                .product(name: "EventBusRedis", package: "swift-event-bus"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(
            name: "ShopTests",
            dependencies: [
                "Shop",
                "ShopEvents",
                "OrderService",
                "InventoryService",
                "NotificationService",
                eventBus,
                .product(name: "EventBusInMemory", package: "swift-event-bus"),
            ]
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
