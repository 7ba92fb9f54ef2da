/* SPDX-License-Identifier: GPL-2.0 */
/* The version of the module and of the programs: they are released together. */
#ifndef K2U_VERSION_H
#define K2U_VERSION_H

#define K2U_VERSION "0.1.0"

#endif
