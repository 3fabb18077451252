//! What the instance is to do, and who it is.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use diogenes_backends::aws::user_data::UserData;
use diogenes_core::fleet::InstanceId;
use tokio::time::sleep;

use crate::metadata::{Metadata, MetadataError};

/// The first and the longest pause before they are read again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// The instance's orders.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// What the control plane wants.
    pub(crate) user_data: UserData,
    pub(crate) instance: Option<InstanceId>,
    /// Its address inside the network: IPv4 where it has one, else IPv6.
    pub(crate) address: IpAddr,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoOrders {
    /// The metadata service failed.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The metadata service has nothing there.
    #[error("the instance has no `{0}`")]
    Missing(&'static str),
    /// The address is none.
    #[error("the instance's address `{0}` is not an IP address")]
    Address(String),
    /// The file of `--user-data` cannot be read.
    #[error("`{}` cannot be read", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// They are not what they should be.
    #[error("the user data is not what a control plane of this version writes")]
    UserData(#[source] serde_json::Error),
}

impl Orders {
    /// Reads them until they are there, however long it takes.
    pub(crate) async fn read(metadata: &Metadata, file: Option<&Path>) -> Self {
        let mut pause = RETRY.0;
        let mut said = String::new();
        loop {
            match Self::try_read(metadata, file).await {
                Ok(orders) => return orders,
                Err(error) => {
                    // Once for each reason, not each time.
                    let text = error.to_string();
                    if text != said {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the instance has no orders and will end itself"
                        );
                        said = text;
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    async fn try_read(metadata: &Metadata, file: Option<&Path>) -> Result<Self, NoOrders> {
        let text = match file {
            Some(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| NoOrders::File { path: path.into(), source })?,
            None => metadata.get("user-data").await?.ok_or(NoOrders::Missing("user-data"))?,
        };
        let user_data: UserData = serde_json::from_str(&text).map_err(NoOrders::UserData)?;
        match whoami(metadata).await {
            Ok((instance, address)) => Ok(Self { user_data, instance: Some(instance), address }),
            // A machine that is not an instance has no metadata; with a file it needs none.
            Err(error) if file.is_some() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no instance metadata; this machine counts as nameless on loopback"
                );
                Ok(Self { user_data, instance: None, address: Ipv4Addr::LOCALHOST.into() })
            }
            Err(error) => Err(error),
        }
    }
}

async fn whoami(metadata: &Metadata) -> Result<(InstanceId, IpAddr), NoOrders> {
    let get = async |path: &'static str| {
        let text = metadata.get(&format!("meta-data/{path}")).await?;
        Ok::<_, NoOrders>(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    };
    let id = get("instance-id").await?.ok_or(NoOrders::Missing("instance-id"))?;
    let address = match get("local-ipv4").await? {
        Some(address) => address,
        None => get("ipv6").await?.ok_or(NoOrders::Missing("local-ipv4"))?,
    };
    match address.parse() {
        Ok(address) => Ok((InstanceId::new(id), address)),
        Err(_) => Err(NoOrders::Address(address)),
    }
}
